import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testProxy } from './proxy.ts'
import { rawUpstream } from './sockets.ts'
import { active, route } from './table.ts'

const events = ['data: one', 'data: two', 'data: [DONE]'].map((event) => `${event}\n\n`)
const inChunks = (parts: readonly string[]) => [...parts, ''].map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')

const answers: readonly [what: string, bytes: string, body: string][] = [
  ['a length', 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n0123456789', '0123456789'],
  ['chunks', `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n${inChunks(['0123', '456789'])}`, '0123456789'],
  ['events', `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n${inChunks(events)}`, events.join('')],
]

for (const [what, bytes, body] of answers) {
  for (const how of ['end', 'reset'] as const) {
    test(`an answer with ${what}, cut at every byte by ${how}: never a clean end but the whole`, { timeout: 120_000 }, async (t) => {
      const port = await rawUpstream(t, (socket) => {
        let head = ''
        socket.on('data', (chunk) => {
          head += chunk.toString('latin1')
          if (!head.includes('\r\n\r\n')) return
          const at = Number(/^GET \/(\d+) /.exec(head)?.[1])
          head = ''
          const piece = bytes.slice(0, at)
          if (how === 'end') socket.end(piece)
          else if (piece === '') socket.resetAndDestroy()
          else socket.write(piece, () => { socket.resetAndDestroy() })
        })
      })
      const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
      const ask = async (at: number): Promise<string> => {
        const response = await fetch(`${proxy.url}/${at}`)
        const text = await response.text()
        return response.status === 200 ? `whole ${text}` : `${response.status} ${response.headers.get('x-modelroute-error')}`
      }
      for (let at = 0; at < bytes.length; at++) {
        const verdict = await ask(at).catch(() => 'broken off')
        assert.match(verdict, /^(?:broken off|502 upstream_(?:reset|protocol))$/, `cut after ${at} bytes of ${bytes.length}`)
      }
      if (how === 'end') assert.equal(await ask(bytes.length), `whole ${body}`)
    })
  }
}
