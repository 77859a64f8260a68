import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expose } from '../../exposition/text.ts'
import { requestFamilies } from './requests.ts'
import { SeriesSet } from './series.ts'

const labels = (route: string, more = {}) => ({ route, rule: 'infer', variant: 'stable', model: '', model_version: '1', ...more })
const told = (set: SeriesSet) => [...expose(requestFamilies(set), 'text')].join('').split('\n').filter((line) => line !== '' && !line.startsWith('#'))
const total = (lines: readonly string[], name: string) =>
  lines.filter((line) => line.startsWith(`${name}{`)).reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)

test('what finds no room is counted as other, nothing is lost, and what is gone makes room', () => {
  const set = new SeriesSet({ series: 3, outcomes: 4, distributions: 2 })
  for (let i = 0; i < 10; i++) {
    const one = set.get(labels(`ml/r${i}`))
    one.count(200, undefined)
    one.count(500, undefined)
    one.request.observe(0.1)
  }
  const lines = told(set)
  assert.equal(total(lines, 'modelroute_requests_total'), 20)
  assert.equal(total(lines, 'modelroute_request_duration_seconds_count'), 10)
  assert.deepEqual(lines.filter((line) => line.startsWith('modelroute_request_duration_seconds_count')).map((line) => /route="([^"]*)"/.exec(line)?.[1] ?? '').sort((a, b) => a.localeCompare(b)), ['ml/r0', 'ml/r1', 'other'])
  assert.ok(lines.includes('modelroute_requests_total{route="ml/r2",rule="infer",variant="stable",model="",model_version="1",code="other",error="other"} 2'))
  assert.ok(lines.includes('modelroute_series_folded_total{of="series"} 7'))
  for (let i = 0; i < 3; i++) set.prune(`ml/r${i}`)
  set.get(labels('ml/new')).count(200, undefined)
  assert.ok(told(set).includes('modelroute_requests_total{route="ml/new",rule="infer",variant="stable",model="",model_version="1",code="200",error=""} 1'))
})

test('what is told only of some series goes with their route, also what is counted after that', () => {
  const set = new SeriesSet()
  const one = set.get(labels('ml/gone'))
  const count = () => {
    one.countTokens({ inputTokens: 1, outputTokens: 2 })
    one.countRows(3)
    one.countCost(0.5)
    one.charge(7n)
    one.retried('timeout')
    one.hedged('won')
    one.passedOn('next', 'timeout')
    one.cached('hit')
    one.batched('joined')
    one.stepped('answered')
    one.batches.called(2, [5])
    one.firstByte.observe(1)
  }
  count()
  const names = () => new Set(told(set).map((line) => /^\w+/.exec(line)?.[0]))
  assert.equal(names().size, 9 + 3 * 3 + 1 + 1)
  set.prune('ml/gone')
  count()
  assert.deepEqual([...names()], ['modelroute_series_folded_total'])
})

test('a request that ends after its route is gone takes no room', () => {
  const set = new SeriesSet({ series: 9, outcomes: 1, distributions: 1 })
  for (let i = 0; i < 5; i++) {
    const one = set.get(labels('ml/r'))
    set.prune('ml/r')
    one.count(200, undefined)
    one.request.observe(1)
  }
  const one = set.get(labels('ml/r'))
  one.count(200, undefined)
  one.request.observe(1)
  assert.equal(Object.values(set.folded()).reduce((a, b) => a + b), 0)
})

test('several models of a variant share its times, and each bucket keeps the last trace', () => {
  const set = new SeriesSet()
  const [a, b] = [set.get(labels('ml/r', { model: 'a' })), set.get(labels('ml/r', { model: 'b' }))]
  a.request.observe(0.02, '1'.repeat(32))
  b.request.observe(0.02, '2'.repeat(32))
  a.inFlight++
  b.inFlight++
  const text = [...expose(requestFamilies(set), 'openmetrics')].join('')
  assert.match(text, /^modelroute_request_duration_seconds_bucket\{route="ml\/r",.*le="0.025"\} 2 # \{trace_id="2{32}"\} 0\.02 [\d.]+$/m)
  assert.match(text, /^modelroute_inflight_requests\{route="ml\/r",rule="infer",variant="stable",model_version="1"\} 2$/m)
})
