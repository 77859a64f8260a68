// The corpus of ambiguous requests through the gateway to two real HTTP implementations: nginx, and Node behind it.
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { testProxy } from '../dataplane/proxy.ts'
import { active, route } from '../dataplane/table.ts'
import { corpus } from '../smuggling/heads.ts'
import { nodeCounter } from '../smuggling/node.ts'
import { judge, type Counter } from '../smuggling/verdict.ts'
import { startNginx, type Nginx } from './nginx.ts'

suite('the client, the proxy, nginx and Node count the same requests', () => {
  const node = nodeCounter()
  let server: Server
  let nginx: Nginx
  const seen = () => nginx.log().filter(([status]) => status === '200').map(([, line]) => line)
  const counter: Counter = { seen, begun: () => seen().length }

  before(async () => {
    server = createServer(node.listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    nginx = await startNginx((server.address() as AddressInfo).port)
  })
  after(async () => {
    await nginx?.stop()
    server.closeAllConnections()
    server.close()
  })

  assert.ok(corpus.length >= 80)
  for (const one of corpus) {
    test(`${one.hazard}: ${one.outcome.kind}`, { timeout: 120_000 }, async (t) => {
      const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [nginx.port] }))
      await judge(t, proxy, [counter, node], one)
    })
  }
})
