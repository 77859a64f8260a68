import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { AnswerHandler, Controller } from './dispatch.ts'
import { whole, type Gathering } from './whole.ts'

const controller: Controller = { pause() {}, resume() {}, abort() {} }

/** A stage in front of one that writes down what it is given. */
function rig(gathering: Partial<Gathering> = {}) {
  const told: unknown[] = []
  const done = Promise.withResolvers<void>()
  const to: AnswerHandler = {
    onResponseStart: (_, status, headers) => { told.push([status, ...headers]) },
    onResponseData: (_, chunk) => { told.push(chunk.toString()) },
    onResponseFlush: () => false,
    onResponseEnd: (_, trailers) => { told.push({ trailers }); done.resolve() },
    onResponseError: (error) => { told.push(error.message) },
  }
  const refuse = (why: Failure, cause: string) => { told.push([why.code, cause]); done.resolve() }
  const stage = whole({
    method: 'POST', max: 1000, wants: () => true,
    change: (answer) => ({ ...answer, body: Buffer.from(answer.body.toString().toUpperCase()) }), ...gathering,
  })(to, refuse)
  return { stage, told, done: done.promise }
}

test('an answer is changed once it is whole, and says its new length', () => {
  const { stage, told } = rig({ change: (answer) => ({ ...answer, body: Buffer.from(`<${answer.body.toString()}>`) }) })
  stage.onResponseStart(controller, 200, ['Content-Type', 'text/plain', 'ETag', '"1"', 'Content-Length', '4'])
  stage.onResponseData(controller, Buffer.from('ab'))
  assert.equal(stage.onResponseFlush(), true, 'the pieces are kept')
  stage.onResponseData(controller, Buffer.from('cd'))
  assert.deepEqual(told, [])
  stage.onResponseEnd(controller, ['x-t', '1'])
  assert.deepEqual(told, [[200, 'content-type', 'text/plain', 'content-length', '6'], '<abcd>', { trailers: ['x-t', '1'] }])
})

test('what is not wanted passes as it comes, and so does what has no body', () => {
  for (const [method, status, wanted] of [['POST', 200, false], ['HEAD', 200, true], ['POST', 204, true], ['POST', 304, true]] as const) {
    const { stage, told } = rig({ method, wants: () => wanted })
    stage.onResponseStart(controller, status, ['ETag', '"1"'])
    stage.onResponseData(controller, Buffer.from('ab'))
    assert.deepEqual(told, [[status, 'ETag', '"1"'], 'ab'])
  }
})

test('a packed body is unpacked, whichever way', async () => {
  for (const [encoding, pack] of [['gzip', gzipSync], ['deflate', deflateSync], ['br', brotliCompressSync]] as const) {
    const { stage, told, done } = rig()
    stage.onResponseStart(controller, 200, ['content-encoding', encoding])
    stage.onResponseData(controller, pack('some text'))
    stage.onResponseEnd(controller, [])
    await done
    assert.deepEqual(told, [[200, 'content-length', '9'], 'SOME TEXT', { trailers: [] }])
  }
})

test('an answer that is larger than what is read is refused, also where it says so or unpacks to it', async () => {
  const cases: readonly [headers: string[], body: Buffer][] = [
    [['content-length', '1001'], Buffer.alloc(0)],
    [[], Buffer.alloc(1001)],
    [['content-encoding', 'gzip'], gzipSync(Buffer.alloc(100_000))],
  ]
  for (const [headers, body] of cases) {
    const { stage, told, done } = rig()
    stage.onResponseStart(controller, 200, headers)
    if (body.length > 0) stage.onResponseData(controller, body)
    stage.onResponseEnd(controller, [])
    await done
    assert.deepEqual(told.map((one) => (Array.isArray(one) ? one[0] as unknown : one)), ['response_too_large'])
  }
})

test('a coding that nobody knows, and bytes that are not what they say, are the backend\'s fault', async () => {
  for (const encoding of ['gzip, br', 'lzma', 'gzip']) {
    const { stage, told, done } = rig()
    stage.onResponseStart(controller, 200, ['content-encoding', encoding])
    stage.onResponseData(controller, Buffer.from('plain'))
    stage.onResponseEnd(controller, [])
    await done
    assert.deepEqual(told, [['upstream_protocol', `content-encoding: ${encoding}`]])
  }
})

test('what a change refuses is refused, and one that never should have failed is told as a failure', async () => {
  for (const change of [() => failure('response_too_large', ''), () => Promise.reject(new Error('a bug'))]) {
    const { stage, told, done } = rig({ change })
    stage.onResponseStart(controller, 200, [])
    stage.onResponseEnd(controller, [])
    await done
    assert.equal(told.length, 1)
  }
})

test('an answer that breaks off is never changed', () => {
  const { stage, told } = rig()
  stage.onResponseStart(controller, 200, [])
  stage.onResponseData(controller, Buffer.from('ab'))
  stage.onResponseError(new Error('gone'))
  assert.deepEqual(told, ['gone'])
})
