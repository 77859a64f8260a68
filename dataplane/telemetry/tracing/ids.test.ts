import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ROOT_CONTEXT } from '@opentelemetry/api'
import { SamplingDecision, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace'
import { lastChance, newParent, spanIn, traceIn } from './ids.ts'
import { decide } from './tracing.ts'

test('ids are valid, each comes once, and what is kept of them is what the sampler of OpenTelemetry keeps', () => {
  const ratio = 0.25
  const sampler = new TraceIdRatioBasedSampler(ratio)
  const keeps = decide({ ratio, parentBased: true })
  const [traces, spans] = [new Set<string>(), new Set<string>()]
  let kept = 0
  // Several draws.
  for (let i = 0; i < 2000; i++) {
    const parent = newParent()
    assert.match(parent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
    const [trace, span] = [traceIn(parent), spanIn(parent)]
    assert.equal(parent, `00-${trace}-${span}-00`)
    traces.add(trace)
    spans.add(span)
    const keep = sampler.shouldSample(ROOT_CONTEXT, trace).decision === SamplingDecision.RECORD_AND_SAMPLED
    assert.equal(keeps(undefined), keep)
    assert.ok(lastChance() < 2 ** 32)
    if (keep) kept++
  }
  assert.equal(traces.size, 2000)
  assert.equal(spans.size, 2000)
  assert.ok(kept > 300 && kept < 700, String(kept))
})

test('all are kept of a ratio of 1, and none of 0', () => {
  const [all, none] = [decide({ ratio: 1, parentBased: true }), decide({ ratio: 0, parentBased: true })]
  for (let i = 0; i < 1000; i++) {
    newParent()
    assert.ok(all(undefined))
    assert.ok(!none(undefined))
  }
})
