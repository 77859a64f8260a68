import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:http2'
import { test, type TestContext } from 'node:test'
import { Mirrors } from '../../dataplane/mirror/mirrors.ts'
import { testProxy } from './proxy.ts'
import { eventually } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

/** A message of protocol buffers with one tensor of two numbers, as gRPC frames it. */
function inferred(version: string, ...values: readonly number[]): Buffer {
  const field = (number: number, bytes: Buffer | string) => Buffer.concat([Buffer.from([(number << 3) | 2, Buffer.byteLength(bytes)]), Buffer.from(bytes)])
  const tensor = Buffer.concat([field(1, 'score'), field(2, 'FP32'), field(3, Buffer.from([values.length]))])
  const message = Buffer.concat([field(2, version), field(5, tensor), field(6, Buffer.from(new Float32Array(values).buffer))])
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** Answers each call once its caller has said all, and keeps what was said. */
async function server(t: TestContext, said: string[], answer: Buffer, status = '0'): Promise<number> {
  const backend = createServer()
  backend.on('session', (session) => { session.on('error', () => {}); t.after(() => session.destroy()) })
  backend.on('stream', (stream) => {
    let text = ''
    stream.on('error', () => {}).on('data', (chunk) => { text += String(chunk) }).on('end', () => {
      said.push(text)
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }))
      stream.end(answer)
    })
  }).listen(0, '127.0.0.1')
  await once(backend, 'listening')
  t.after(() => backend.close())
  const address = backend.address()
  return typeof address === 'object' ? address?.port ?? 0 : 0
}

async function calls(t: TestContext, copy: Buffer, status = '0') {
  const [said, copied]: [string[], string[]] = [[], []]
  const sets = { 'ml/a:80': [await server(t, said, inferred('1', 0.5, 0.25))], 'ml/b:80': [await server(t, copied, copy, status)] }
  const mirrors = new Mirrors()
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({
    variants: [variant('stable', 'ml/a:80'), variant('shadow', 'ml/b:80', { weight: 0 })],
    mirror: { variant: 'shadow', percent: 100, compare: { absolute: 0.01, relative: 0, ignore: [] } },
  })] })], sets), { filterDeps: { mirrors } })
  const session = connect(proxy.url)
  t.after(() => session.destroy())
  const stream = session.request({ ':method': 'POST', ':path': '/inference.GRPCInferenceService/ModelInfer', 'content-type': 'application/grpc', 'te': 'trailers' })
  stream.write('one ')
  await eventually(() => [...mirrors.values()].some(({ inFlight }) => inFlight === 1))
  assert.deepEqual(copied, [])
  stream.end('two')
  const [trailers] = await once(stream.resume(), 'trailers') as [Record<string, string>]
  await once(stream, 'close')
  await eventually(() => [...mirrors.values()].every(({ inFlight }) => inFlight === 0))
  const [report] = mirrors.report()
  assert.deepEqual([said, copied, trailers['grpc-status']], [['one two'], ['one two'], '0'])
  return report
}

test('a call of gRPC is copied once its caller has said all, and the outputs are compared', { timeout: 120_000 }, async (t) => {
  assert.deepEqual((await calls(t, inferred('2', 0.505, 0.25)))?.compared, { match: 1 })
})

test('another output, and another status of gRPC, are a mismatch', { timeout: 120_000 }, async (t) => {
  const other = await calls(t, inferred('2', 0.9, 0.25))
  assert.deepEqual([other?.compared, other?.places.map(({ place }) => place)], [{ mismatch: 1 }, ['/outputs/score']])
  const failed = await calls(t, Buffer.alloc(0), '13')
  assert.deepEqual([failed?.compared, failed?.places.map(({ place }) => place)], [{ mismatch: 1 }, ['status']])
})
