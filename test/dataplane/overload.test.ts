import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, route } from './table.ts'

const nobodyWakes = new Int32Array(new SharedArrayBuffer(4))
/** Keeps the event loop from everything else, and the machine from nothing. */
function block(milliseconds: number): void {
  const until = performance.now() + milliseconds
  while (performance.now() < until) Atomics.wait(nobodyWakes, 0, 0, 5)
}

test('a gateway that cannot keep up sheds requests with 503 and a time to come again, says that it lives, and recovers', { timeout: 120_000 }, async (t) => {
  let served = 0
  const port = await httpUpstream(t, (_request, response) => {
    served++
    response.end('ok')
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const ask = async () => {
    const response = await fetch(`${proxy.url}/x`)
    await response.text()
    return response
  }
  assert.equal((await ask()).status, 200)
  let shed: Response | undefined
  while (shed === undefined) {
    block(400)
    const response = await ask()
    if (response.status !== 200) shed = response
  }
  assert.deepEqual([shed.status, shed.headers.get('x-modelroute-error'), shed.headers.get('retry-after')], [503, 'overloaded', '1'])
  const before = served
  for (const path of ['/healthz', '/readyz']) {
    block(400)
    assert.equal((await fetch(`${proxy.urls.health}${path}`)).status, 200)
  }
  assert.equal(served, before)
  // In time again, it takes back all of them.
  for (let good = 0; good < 100;) good = (await ask()).status === 200 ? good + 1 : 0
})
