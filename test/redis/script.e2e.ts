import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as fc from 'fast-check'
import type { Decision, Take } from '../../dataplane/limits/limiter.ts'
import { createProcessStore } from '../../dataplane/limits/process.ts'
import { applyFrame, readTaken, takeFrame } from '../../dataplane/limits/redis/frames.ts'
import { applyScript, Op, takeScript } from '../../dataplane/limits/redis/script.ts'
import { parseRedisUrl } from '../../dataplane/limits/redis/url.ts'
import { connectRedis, type Remote } from '../../dataplane/redis.ts'
import { epoch, limits, steps, takesOf } from '../limits/takes.ts'
import { startRedis, until, type Server } from './servers.ts'

let server: Server
let remote: Remote

before(async () => {
  server = await startRedis()
  const url = parseRedisUrl(server.url)
  assert.ok(typeof url !== 'string')
  remote = connectRedis(url, (error) => console.error(error))
  await until(() => remote.probe('ready').then(() => true, () => false))
})
after(async () => {
  remote.close()
  await server.end()
})

test('the scripts decide as the process does, in any order of requests, settlements and time', async () => {
  let run = 0
  // Keys expire by the real time, and are not to while the test's own stands still.
  await fc.assert(fc.asyncProperty(limits(4000, 10_000, 60_000), steps, async (of, todo) => {
    run++
    const clock = { now: epoch }
    const process = createProcessStore({ now: () => clock.now })
    const open: { mine: Decision; takes: readonly Take[]; where: readonly number[]; id: string }[] = []
    const keyOf = (key: string) => `test:{${run}}:${key}`
    for (const [sequence, step] of todo.entries()) {
      // Longer than a lease, reservations would be given back, which the process never does.
      if (step.do === 'wait' && (open.length === 0 || step.ms < 1000)) clock.now += step.ms
      if (step.do === 'take') {
        const takes = takesOf(of, step.key, step.units)
        const mine = process.take(takes)
        const id = `r${sequence}`
        const counts = takes.map(({ key }) => keyOf(key))
        const answer = await remote.call(takeScript, [...counts, ...counts.map((key) => `${key}:held`)], [takeFrame([{ takes, sequence }], clock.now), id])
        const theirs = readTaken(answer, [{ takes, sequence }])?.[0]
        assert.equal(theirs?.allowed, mine.allowed)
        assert.deepEqual(theirs.verdicts.map(rounded), mine.verdicts.map(rounded))
        if (mine.allowed) open.push({ mine, takes, where: theirs.where, id })
      }
      if (step.do === 'settle' && open.length > 0) {
        const [{ mine, takes, where, id }] = open.splice(step.which % open.length, 1) as [typeof open[0]]
        mine.held?.settle(step.units)
        const operations = takes.map(({ key, algorithm, amount, units }, i) => ({
          op: Op.settle, key: keyOf(key), algorithm, amount, id,
          numbers: [units, where[i] ?? 0, algorithm.type === 'Concurrency' ? 0 : step.units[i] ?? 0, 0] as const,
        }))
        // Twice: only the first time it counts.
        for (let i = 0; i < 2; i++) {
          await remote.call(applyScript, operations.flatMap(({ key }) => [key, `${key}:held`]), [applyFrame(operations, clock.now), ...operations.map(() => id)])
        }
      }
    }
  }), { numRuns: 150, timeout: 20_000 })
})

const rounded = ({ allows, remaining, resetAfter, retryAfter }: Decision['verdicts'][number]) => ({
  allows, remaining: Math.round(remaining * 1e6) / 1e6, resetAfter: Math.round(resetAfter), retryAfter: Math.round(retryAfter),
})
