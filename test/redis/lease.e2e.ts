import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { connectLimiter } from '../../dataplane/limits/create.ts'
import { LEASE } from '../../dataplane/limits/redis/frames.ts'
import { parseRedisUrl } from '../../dataplane/limits/redis/url.ts'
import { patient, startRedis, until } from './servers.ts'
import { startTakers, thousand } from './takers.ts'

test('what a proxy held when it was killed is given back after its lease, and not before', { timeout: 60_000 }, async (t) => {
  const server = await startRedis()
  t.after(() => server.end())
  const running = { ...thousand({ type: 'Concurrency' }, 'killed'), amount: 10 }
  const tokens = { ...thousand({ type: 'FixedWindow', window: 'month' }, 'killed'), amount: 100, units: 10, hold: true }
  const takers = await startTakers([{ url: patient(server.url), tenant: 'ml', takes: [running, tokens], connections: 10, tries: 10 }])
  assert.equal((await takers.came)[0]?.admitted, 10)
  const redis = parseRedisUrl(patient(server.url))
  assert.ok(typeof redis !== 'string')
  const limiter = await connectLimiter({ redis, fleet: 'default', say: () => {} })
  t.after(() => limiter.close())
  // Longer than a lease: what lives renews.
  await pause(LEASE + 2000)
  assert.equal((await limiter.take('ml', [{ ...running, hold: true }])).allowed, false)
  takers.kill()
  const killed = performance.now()
  await until(async () => (await limiter.take('ml', [running, { ...tokens, units: 100 }])).allowed, LEASE + 2000)
  assert.ok(performance.now() - killed > LEASE / 2)
})
