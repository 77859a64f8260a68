import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { patient, startCluster, startRedis } from './servers.ts'
import { algorithms, startTakers, thousand, three } from './takers.ts'

for (const [name, start] of [['Redis', startRedis], ['Redis Cluster', startCluster]] as const) {
  describe(name, () => {
    let servers: Awaited<ReturnType<typeof start>>
    let url: string
    before(async () => {
      servers = await start()
      url = patient(servers.url)
    })
    after(() => servers.end())

    for (const algorithm of algorithms) {
      test(`${algorithm.type}: three proxies with 200 connections each admit 1,000 of a limit of 1,000`, async () => {
        const { admitted, by } = await three({ url, tenant: 'ml', takes: [thousand(algorithm, 'exact')], tries: 2000 })
        assert.deepEqual(by, { store: 6000 })
        assert.equal(admitted, 1000)
      })
    }

    test('ten limits of all kinds together admit what the least of them does, and charge the others no more', async () => {
      const takes = algorithms.flatMap((algorithm) => [thousand(algorithm, 'wide'), { ...thousand(algorithm, 'other'), ...(algorithm.type === 'FixedWindow' && { amount: 700 }) }])
      const { admitted } = await three({ url, tenant: 'tenth', takes, tries: 1000 })
      assert.equal(admitted, 700)
      const again = await three({ url, tenant: 'tenth', takes: takes.slice(0, 1), tries: 300 })
      assert.equal(again.admitted, 300)
    })

    test('a budget of tokens is never reserved beyond its amount by a thousand streams, and settles to what they used', async () => {
      const budget = { ...thousand({ type: 'FixedWindow', window: 'month' } as const, 'tokens'), amount: 50_000, units: 100, hold: true }
      const jobs = [0, 1, 2, 3].map(() => ({ url, tenant: 'tokens', takes: [budget], connections: 250, tries: 250, settle: { after: 300, units: [30] } }))
      const takers = await startTakers(jobs)
      const came = await takers.came
      assert.ok(came.reduce((sum, { most }) => sum + most, 0) <= 500, JSON.stringify(came))
      await takers.end()
      const admitted = came.reduce((sum, each) => sum + each.admitted, 0)
      assert.ok(admitted >= 500)
      const left = await three({ url, tenant: 'tokens', takes: [{ ...budget, units: 10, hold: false }], tries: 4000 })
      assert.equal(left.admitted, (50_000 - admitted * 30) / 10)
    })
  })
}
