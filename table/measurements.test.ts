import assert from 'node:assert/strict'
import test from 'node:test'
import { LATENCY_BOUNDS } from './delivery.ts'
import { latencyBucket } from './measurements.ts'

test('each latency is in the first bucket whose bound is not below it, bounds themselves too', () => {
  for (const [i, bound] of LATENCY_BOUNDS.entries()) {
    assert.equal(latencyBucket(bound), i)
    assert.equal(latencyBucket(bound * 1.000_001), i + 1)
    assert.equal(latencyBucket(bound * 0.999_999), i)
  }
  for (const [seconds, bucket] of [[0, 0], [-1, 0], [Number.NaN, 0], [1e9, LATENCY_BOUNDS.length], [Infinity, LATENCY_BOUNDS.length]] as const) {
    assert.equal(latencyBucket(seconds), bucket, String(seconds))
  }
})
