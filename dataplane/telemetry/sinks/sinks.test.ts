import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { postTo } from './http.ts'
import { batchesOf, Refused, retried, type Send } from './retried.ts'

const lines = Buffer.from('{"n":1}\n{"n":2}\n')
const noWait = () => Promise.resolve()
const write = (sink: ReturnType<typeof retried>, bytes: Buffer) => new Promise<Error | undefined>((resolve) => { sink.write(bytes, resolve, false) })

async function collector(t: TestContext, handler: RequestListener): Promise<string> {
  const server = createServer(handler).listen(0, '127.0.0.1')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('a batch that does not arrive is sent again until it does, and the failure is told once', async (t) => {
  const statuses = [500, 429, 401, 204]
  const bodies: string[] = []
  const at = await collector(t, (request, response) => {
    let body = ''
    request.on('data', (piece: Buffer) => { body += piece.toString() })
    request.on('end', () => {
      bodies.push(`${request.headers.authorization} ${request.headers['content-type']} ${body}`)
      response.writeHead(statuses[bodies.length - 1] ?? 500).end()
    })
  })
  const told: string[] = []
  const sink = retried({
    send: postTo({ url: `http://bill:s%2Fecret@${at}/in`, contentType: 'application/x-ndjson' }),
    attempts: Number.POSITIVE_INFINITY, wait: noWait, say: (error) => told.push(error?.message ?? 'well again'),
  })
  assert.equal(await write(sink, lines), undefined)
  assert.deepEqual(bodies, statuses.map(() => `Basic ${Buffer.from('bill:s/ecret').toString('base64')} application/x-ndjson ${lines.toString()}`))
  assert.deepEqual(told, ['answered 500', 'well again'])
})

test('a server that hangs costs one try its time, and no secret of the URL is told', async (t) => {
  const at = await collector(t, () => {})
  const sink = retried({ send: postTo({ url: `http://bill:secret@${at}/in`, contentType: 'text/plain' }), attempts: 2, timeout: 20, wait: noWait })
  assert.equal((await write(sink, lines))?.message, 'no answer in time')
})

test('what is refused for good is given up at once, where tries are counted', async () => {
  let tries = 0
  const sink = retried({ send: () => { tries++; return Promise.reject(new Refused('answered 400')) }, attempts: 5, wait: noWait })
  assert.equal((await write(sink, lines))?.message, 'answered 400')
  assert.equal(tries, 1)
})

test('closing ends a wait for the next try', async () => {
  const sink = retried({ send: () => Promise.reject(new Error('down')), attempts: Number.POSITIVE_INFINITY })
  const ended = write(sink, lines)
  sink.close()
  assert.match((await ended)?.message ?? '', /closed/)
})

test('tries are ever further apart, up to half a minute', async () => {
  const waits: number[] = []
  const send: Send = () => (waits.length < 12 ? Promise.reject(new Error('down')) : Promise.resolve())
  await write(retried({ send, attempts: Number.POSITIVE_INFINITY, wait: (time) => { waits.push(time); return Promise.resolve() } }), lines)
  assert.ok(waits.every((time, i) => time <= Math.min(30_000, 100 * 2 ** i) && time >= Math.min(30_000, 100 * 2 ** i) / 2), waits.join(' '))
})

test('a batch is whole lines, and a line longer than one goes alone', () => {
  const cut = (text: string) => [...batchesOf(Buffer.from(text), 6)].map(String)
  assert.deepEqual(cut('ab\ncd\nef\n'), ['ab\ncd\n', 'ef\n'])
  assert.deepEqual(cut('abcdefghij\nk\n'), ['abcdefghij\n', 'k\n'])
  assert.deepEqual(cut('no end'), ['no end'])
})
