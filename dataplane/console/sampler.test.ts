import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LimitTally } from '../telemetry/limits.ts'
import { SeriesSet } from '../telemetry/series.ts'
import { createSampler, endingName } from './sampler.ts'

function watched() {
  const series = new SeriesSet()
  const one = series.get({ route: 'ml/a', rule: 'infer', variant: 'stable', model: '', model_version: '' })
  const serve = (times: number, status = 200, error?: string) => {
    for (let i = 0; i < times; i++) {
      one.count(status, error)
      one.request.observe(0.003)
    }
  }
  const clock = { at: 0 }
  const sampler = createSampler({ series, limits: new LimitTally(), now: () => clock.at })
  return { series, serve, clock, sampler }
}

test('rates are of what came between two looks, and the first look has none', async () => {
  const { serve, clock, sampler } = watched()
  serve(50)
  const first = await sampler.look()
  assert.deepEqual([first.seconds, first.total.requests, first.total.recent.requests], [null, 50, 0])
  serve(20)
  serve(4, 502, 'upstream_reset')
  clock.at = 2000
  const { seconds, total, grown } = await sampler.look()
  assert.deepEqual([seconds, total.requests, total.recent, grown(endingName('502 upstream_reset'))], [2, 74, { requests: 24, failed: 4, refused: 0, tokens: 0, cost: 0 }, 4])
  assert.equal(total.latency.reduce((sum, count) => sum + count, 0), 24)
  sampler.close()
})

test('two who look within a second see the same, and cost one look', async () => {
  const { serve, clock, sampler } = watched()
  await sampler.look()
  serve(5)
  clock.at = 1000
  const [a, b] = await Promise.all([sampler.look(), sampler.look()])
  clock.at = 1500
  assert.equal(a, b)
  assert.equal(await sampler.look(), a)
  sampler.close()
})

test('who comes back after a while is told nothing of the time between, and what is new since a look grew from nothing', async () => {
  const { series, serve, clock, sampler } = watched()
  await sampler.look()
  serve(1000)
  clock.at = 60_000
  assert.equal((await sampler.look()).seconds, null)
  const late = series.get({ route: 'ml/b', rule: 'infer', variant: 'stable', model: '', model_version: '' })
  late.count(200, undefined)
  clock.at = 61_000
  assert.equal((await sampler.look()).total.recent.requests, 1)
  series.prune('ml/b')
  clock.at = 62_000
  assert.deepEqual((await sampler.look()).total.recent.requests, 0)
  sampler.close()
})
