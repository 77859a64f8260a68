import assert from 'node:assert/strict'
import test from 'node:test'
import type { Problem } from '../sources/snapshot.ts'
import { compileAnalysis, measuredFor } from './analysis.ts'
import { compileDelivery } from './rollout.ts'
import type { AnalysisSpec, RuleSpec } from './spec.ts'

const options = { allowUrls: ['prometheus.monitoring:9090'], allowLoopback: false, allowUnmanagedEndpointSlices: false }

function compiled(spec: AnalysisSpec) {
  const problems: Problem[] = []
  return { analysis: compileAnalysis(spec, 'a', options, problems), problems }
}

test('what is not said has a default', () => {
  const { analysis, problems } = compiled({ metrics: [{ name: 'p95-latency', max: '0.5' }] })
  assert.deepEqual(analysis, {
    interval: 10_000, minRequests: 200, failureLimit: 2, onNoData: 'Hold',
    gates: [{ name: 'p95-latency', measure: { type: 'Latency', percentile: 95 }, bounds: { max: 0.5 } }],
  })
  assert.deepEqual(problems, [])
})

test('a name that says something says it; with a type it is only a name', () => {
  const { analysis } = compiled({ metrics: [{ name: 'error-rate', max: '0.01' }, { name: 'p50-latency', type: 'ErrorRate', max: '0.01' }] })
  assert.deepEqual(analysis.gates.map(({ measure }) => measure), [{ type: 'ErrorRate' }, { type: 'ErrorRate' }])
  assert.equal(compiled({ metrics: [{ name: 'constructor', max: '1' }] }).problems.length, 1)
})

test('Prometheus is asked at its API, below the path that it has', () => {
  const prometheus = { address: 'http://prometheus.monitoring:9090/prom/', query: 'up' }
  const { analysis, problems } = compiled({ metrics: [{ name: 'q', type: 'Prometheus', prometheus, max: '1e-3' }] })
  assert.deepEqual(analysis.gates[0], {
    name: 'q', bounds: { max: 0.001 },
    measure: { type: 'Prometheus', query: 'up', to: { url: 'http://prometheus.monitoring:9090/prom/api/v1/query', loopback: false, private: true } },
  })
  assert.deepEqual(problems, [])
})

test('proxies count the fields that gates ask for, each once, and tokens only where a gate is about them', () => {
  const field = (name: string, pointer: string) => ({ name, type: 'ResponseField' as const, pointer, max: '1' })
  const { analysis } = compiled({ metrics: [field('a', '/x'), field('b', '/y'), field('c', '/x'), { name: 'error-rate', max: '1' }] })
  assert.deepEqual(measuredFor(analysis, 's1'), { id: 's1', fields: ['/x', '/y'] })
  assert.deepEqual(measuredFor(compiled({ metrics: [{ name: 'speed', type: 'TokensPerSecond', min: '20' }] }).analysis, 's1'), { id: 's1', fields: [], tokens: true })
})

test('a gate on mismatches needs copies to the candidate that are compared', () => {
  const rule = (mirror: RuleSpec['mirror']): RuleSpec => ({
    name: 'infer', backendRefs: ['stable', 'canary'].map((variant) => ({ variant, name: variant, port: 80 })), ...(mirror && { mirror }),
    rollout: { candidate: 'canary', steps: [{ percent: 0 }], analysis: { metrics: [{ name: 'mirror-mismatch', max: '0.01' }] } },
  })
  for (const [mirror, expected] of [
    [undefined, 1], [{ variant: 'canary' }, 1], [{ variant: 'stable', compare: {} }, 1], [{ variant: 'canary', compare: {} }, 0],
  ] as const) {
    const problems: Problem[] = []
    compileDelivery(rule(mirror), 'r', options, problems)
    assert.equal(problems.length, expected, JSON.stringify(mirror))
  }
})
