import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explain, type Fault, type Outcome } from './faults.ts'

const fault = (what: Fault['what'], target = 0): Fault => ({ what, target, from: 10_000, to: 15_000 })
const failed = (at: number, end: number, code: string, proxy = 0): Outcome => ({ kind: 'rest', proxy, at, end, was: 'failed', code, detail: '' })

test('a failure is put down to what was done at the time to what it went through, and to nothing else', () => {
  assert.equal(explain(failed(9000, 10_500, 'broken'), [fault('proxy')])?.what, 'proxy')
  assert.equal(explain(failed(9000, 10_500, 'broken', 1), [fault('proxy')]), undefined, 'another proxy')
  assert.equal(explain(failed(9000, 10_500, 'upstream_reset'), [fault('proxy')]), undefined, 'it answered')
  assert.equal(explain(failed(8000, 9000, 'broken'), [fault('proxy')]), undefined, 'before')
  assert.equal(explain(failed(19_000, 19_500, 'broken'), [fault('proxy')]), undefined, 'long after')
  assert.equal(explain(failed(9000, 10_500, 'upstream_reset'), [fault('proxy'), fault('upstream')])?.what, 'upstream')
  assert.equal(explain(failed(9000, 10_500, 'rate_limited'), [fault('upstream')]), undefined)
  assert.equal(explain(failed(11_000, 41_000, 'timeout'), [fault('network')])?.what, 'network')
  assert.equal(explain(failed(11_000, 12_000, 'overloaded'), [fault('machine')])?.what, 'machine')
  for (const code of ['broken', 'upstream_reset', 'no_endpoints']) assert.equal(explain(failed(11_000, 12_000, code), [fault('machine')]), undefined)
  for (const code of ['broken', 'status 408', 'overloaded', 'timeout']) assert.equal(explain(failed(9000, 75_000, code), [fault('standstill')])?.what, 'standstill')
  for (const code of ['upstream_reset', 'no_endpoints', 'unauthorized']) assert.equal(explain(failed(11_000, 12_000, code), [fault('standstill')]), undefined)
  for (const what of ['controller', 'redis', 'API server'] as const) {
    for (const code of ['broken', 'upstream_reset', 'no_endpoints', 'limit_store_unavailable']) assert.equal(explain(failed(11_000, 12_000, code), [fault(what)]), undefined, what)
  }
})
