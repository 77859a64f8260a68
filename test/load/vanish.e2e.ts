import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { testProxy } from '../dataplane/proxy.ts'
import { eventually, httpUpstream } from '../dataplane/sockets.ts'
import { active, route } from '../dataplane/table.ts'
import { percentile } from '../load.ts'
import { inTime, watchMachine } from '../machine.ts'

test('1,000 clients of event streams vanish: no stream is left, and the last backend knows within 100 ms', { timeout: 180_000 }, async (t) => {
  const left = new Map<string, number>()
  const closed: number[] = []
  let open = 0
  const backend = () => httpUpstream(t, (request, response) => {
    open++
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: first\n\n')
    const timer = setInterval(() => response.write('data: more\n\n'), 500)
    response.once('close', () => {
      clearInterval(timer)
      open--
      closed.push(performance.now() - (left.get(request.url ?? '') ?? Number.NaN))
    })
  })
  const ports = await Promise.all([backend(), backend(), backend(), backend(), backend()])
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': ports }))
  const { port } = new URL(proxy.url)
  const clients = new Map<string, Socket>()
  let started = 0
  for (let n = 0; n < 1000; n++) {
    const socket = connect(Number(port), '127.0.0.1')
    socket.on('error', () => {})
    socket.once('data', () => { started++ })
    socket.write(`GET /${n} HTTP/1.1\r\nHost: a\r\n\r\n`)
    clients.set(`/${n}`, socket)
    t.after(() => socket.destroy())
    if (n % 50 === 49) await eventually(() => started > n - 50)
  }
  await eventually(() => started === 1000)
  assert.equal(open, 1000)
  const machine = watchMachine()
  let n = 0
  for (const [path, socket] of clients) {
    left.set(path, performance.now())
    // Half of them as a process that dies, half as a cable that is pulled.
    if (n++ % 2 === 0) socket.destroy()
    else socket.resetAndDestroy()
    if (n % 10 === 0) await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
  await eventually(() => closed.length === 1000)
  assert.equal(open, 0)
  const p99 = percentile(closed, 0.99)
  t.diagnostic(`a backend's stream ends ${percentile(closed, 0.5).toFixed(1)} ms (p50), ${p99.toFixed(1)} ms (p99) after its client left`)
  inTime(t, 'a backend to know', p99, 100, machine())
})
