import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Retry } from '../../table/resilience.ts'
import { backoffOf, Budget, saysRefused, statusSaid, toldBy } from './again.ts'

const retry = (more: Partial<Retry> = {}): Retry => ({ attempts: 3, reasons: [], codes: [], budgetPercent: 10, backoff: 25, ...more })

test('a wait is anything up to a bound that doubles, and stops doubling', () => {
  const longest = (n: number) => backoffOf(retry(), n, () => 1)
  assert.deepEqual([1, 2, 3, 5, 6, 10].map(longest), [25, 50, 100, 400, 400, 400])
  assert.equal(backoffOf(retry(), 3, () => 0), 0)
  const waits = Array.from({ length: 1000 }, () => backoffOf(retry(), 1))
  const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length
  assert.ok(mean > 10 && mean < 15 && Math.max(...waits) <= 25, String(mean))
})

test('retries are a share of the requests in progress, ten at least, and one that left makes room', () => {
  const budget = new Budget()
  for (let i = 0; i < 50; i++) budget.enter(undefined)
  let given = 0
  while (budget.retry(retry())) given++
  assert.equal(given, 10)
  for (let i = 0; i < 150; i++) budget.enter(undefined)
  while (budget.retry(retry())) given++
  assert.equal(given, 20)
  budget.leave(true)
  assert.equal(budget.retry(retry()), true)
  assert.equal(budget.retry(retry()), false)
  assert.equal(new Budget().retry(retry({ budgetPercent: 0 })), false)
})

test('second requests are a share of all that came, with a few saved up', () => {
  const budget = new Budget()
  const hedge = { after: 1, budgetPercent: 5 }
  let given = 0
  for (let i = 0; i < 1000; i++) {
    budget.enter(hedge)
    if (budget.hedge(hedge)) given++
  }
  assert.ok(given >= 50 && given <= 51, String(given))
  for (let i = 0; i < 1000; i++) budget.enter(hedge)
  given = 0
  while (budget.hedge(hedge)) given++
  assert.equal(given, 10)
  assert.equal(new Budget().hedge({ after: 1, budgetPercent: 0 }), false)
})

test('a gRPC error that is all of an answer says a status of HTTP; anything else says its own', () => {
  const said = (status: string | undefined, grpc = true, http = 200) =>
    statusSaid(http, ['Content-Type', 'application/grpc', ...(status === undefined ? [] : ['Grpc-Status', status])], grpc)
  assert.deepEqual(['0', '4', '8', '13', '14', '2', 'x'].map((status) => said(status)), [200, 504, 429, 500, 503, 500, 500])
  assert.deepEqual([said(undefined), said('14', false), said('14', true, 502)], [200, 200, 502])
})

test('only what says that nothing was done is taken for that', () => {
  const miss = (reason: number | 'timeout', unstarted = false) => ({ reason, unstarted, why: toldBy(500), cause: '' })
  assert.deepEqual([408, 421, 425, 429, 503].map((status) => saysRefused(miss(status))), [true, true, true, true, true])
  assert.deepEqual([400, 409, 500, 502, 504].map((status) => saysRefused(miss(status))), [false, false, false, false, false])
  assert.deepEqual([saysRefused(miss('timeout')), saysRefused(miss('timeout', true))], [false, true])
})
