import assert from 'node:assert/strict'
import { test } from 'node:test'
import { amountOf, rounded, textOf } from './amount.ts'
import { chargeOf, type Usage } from './charge.ts'
import { readPriceList } from './list.ts'

const usage: Usage = {
  time: Date.parse('2026-06-01'), route: 'ml/a', variant: 'v', model: 'm', consumer: 'c', tier: undefined, status: 200, grpcStatus: undefined, percent: 100, rows: undefined,
  tokens: undefined,
}

function listOf(...prices: object[]) {
  const list = readPriceList({ currency: 'EUR', prices })
  if (!('prices' in list)) throw new Error(list.join('\n'))
  return list
}

const charged = (list: ReturnType<typeof listOf>, more: Partial<Usage>) => {
  const amount = chargeOf(list, { ...usage, ...more })
  return amount === undefined ? undefined : textOf(amount)
}

test('a million tenths are a hundred thousand, and a half is rounded away from zero', () => {
  const tenth = amountOf('0.1') ?? 0n
  assert.equal(textOf(tenth * 1_000_000n), '100000')
  assert.deepEqual(['0.005', '0.0049', '-0.005', '1.995'].map((text) => rounded(amountOf(text) ?? 0n, 2)), ['0.01', '0.00', '-0.01', '2.00'])
  for (const text of ['1e3', '0x1', '', '.5', '1.', '0.1234567890123', '1234567890123456', 'NaN']) assert.equal(amountOf(text), undefined, text)
})

test('the first entry that is for a request is its price, and dates end before their end', () => {
  const list = listOf(
    { name: 'gold', tiers: ['gold'], requests: '1' },
    { name: 'old', routes: ['ml/a'], until: '2026-07-01', requests: '2' },
    { name: 'new', routes: ['ml/a'], from: '2026-07-01', requests: '3' },
  )
  assert.equal(charged(list, { tier: 'gold' }), '1')
  assert.equal(charged(list, {}), '2')
  assert.equal(charged(list, { time: Date.parse('2026-07-01') }), '3')
  assert.equal(charged(list, { route: undefined }), undefined)
})

test('who got no answer pays for tokens that were counted, and not for asking', () => {
  const list = listOf({ name: 'all', requests: '1', rows: '0.1', inputTokens: { price: '2.00', per: 1_000_000 }, cachedInputTokens: { price: '0.50', per: 1_000_000 }, outputTokens: { price: '8', per: 1000 } })
  const tokens = { inputTokens: 100, outputTokens: 10, cachedTokens: 40 }
  assert.equal(charged(list, { tokens, rows: 3 }), '1.38014')
  assert.equal(charged(list, { tokens, rows: 3, status: 499 }), '0.08014')
  assert.equal(charged(list, { status: 503, rows: 3 }), '0')
  assert.equal(charged(list, { grpcStatus: 14 }), '0')
  assert.equal(charged(list, { percent: 20, rows: 3 }), '0.26')
})

test('a list with a mistake is refused with its place', () => {
  const faults = (value: unknown) => readPriceList(value)
  for (const [value, place] of [
    [{ currency: 'EUR', prices: [{ name: 'a', requests: 0.1 }] }, 'prices.0.requests'],
    [{ currency: 'EUR', prices: [{ name: 'a', requests: '1', modell: ['x'] }] }, 'prices.0.modell'],
    [{ currency: 'EUR', prices: [{ name: 'a', from: 'June', requests: '1' }] }, 'prices.0.from'],
    [{ currency: 'EUR', prices: [{ name: 'a' }] }, 'prices.0'],
    [{ prices: [] }, 'currency'],
  ] as const) {
    const told = faults(value)
    assert.ok(Array.isArray(told) && told.some((line: string) => line.startsWith(place)), `${place}: ${JSON.stringify(told)}`)
  }
})
