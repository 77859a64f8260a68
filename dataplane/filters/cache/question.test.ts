import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import type { Cache } from '../../../table/cache.ts'
import { Exchange, type Received } from '../../pipeline/exchange.ts'
import type { FlatHeaders } from '../../pipeline/headers.ts'
import { anonymous, type Principal } from '../../pipeline/principal.ts'
import type { BuiltVariant } from '../../pipeline/rule.ts'
import { createRuntime } from '../../runtime.ts'
import { innerRequest, InnerResponse } from '../../upstream/inner.ts'
import { createQuestions } from './question.ts'
import { wishesOf } from './wishes.ts'

const principal = (consumer: string, tier?: string): Principal => ({ ...anonymous, via: 'jwt', consumer, ...(tier !== undefined && { tier }) })

/** All that may be different, and what it may be. */
const choices = {
  again: [{}, {}], authority: ['h', 'h:80'], path: ['/v1/models/a:predict', '/v1/models/b:predict'], query: ['', '?x=1'], address: ['192.0.2.1', '192.0.2.2'],
  principal: [undefined, principal('alice'), principal('alice', 'gold'), principal('bob')], canary: [false, true],
  type: [undefined, 'application/json', 'text/plain'], accept: [undefined, 'text/plain'], length: [undefined, '2'], of: [undefined, '', 'x'], more: [undefined, 'x'],
  authorization: [undefined, 'a', 'b'], cookie: [undefined, 'a'],
} as const
type Choice = keyof typeof choices

test('whatever changes between two requests that came with the same head, their keys begin as if each had come alone', (t) => {
  const runtime = createRuntime()
  t.after(() => runtime.close())
  const cache: Cache = { ttl: 1000, scope: 'Principal', maxBytes: 1_000_000, maxEntryBytes: 1000, headers: ['x-of', 'x-more'], pointers: [], tags: [], billed: 100 }
  const variant = (name: string) => ({ name, weight: 50, priority: 0, target: { kind: 'unresolved' as const, why: '' } })
  const rule = {
    name: 'r', matches: [{ path: { type: 'Prefix' as const, value: '/' }, headers: [], query: [] }], variants: [variant('stable'), variant('canary')], overrides: [], timeouts: {},
    balance: { policy: 'RoundRobin' as const }, cache,
  }
  const route = { id: 'ml/a', tenant: 'ml', generation: 1, created: '', hostnames: [], rules: [rule] }
  runtime.activate({ version: '1', routes: new Map([[route.id, route]]), endpoints: new Map(), credentials: new Map(), secrets: new Map() })
  const [built] = [...runtime.table()?.routes() ?? []].flatMap(({ rules }) => rules)
  const [first, second] = built?.variants ?? []
  assert.ok(first && second)

  const nowhere = new InnerResponse({ onResponseStart() {}, onResponseData() {}, onResponseFlush: () => true, onResponseEnd() {}, onResponseError() {} })
  const standing = { standing: () => '0' }
  const kept = createQuestions(route, rule, cache)
  const beginnings = new Map<string, number>()
  const at = new Map<Choice, number>()
  const names = Object.keys(choices).filter((name): name is Choice => name in choices)
  const chosen = <Name extends Choice>(name: Name): (typeof choices)[Name][number] => choices[name][at.get(name) ?? 0] ?? choices[name][0]
  for (let i = 0; i < 10_000; i++) {
    // Half of them are like the one before, and the others differ in one thing.
    const changed = names[randomInt(names.length * 2)]
    if (changed !== undefined) at.set(changed, randomInt(choices[changed].length))
    const headers: FlatHeaders = []
    for (const [name, choice] of [['content-type', 'type'], ['accept', 'accept'], ['inference-header-content-length', 'length'], ['x-of', 'of'], ['x-more', 'more'], ['authorization', 'authorization'], ['cookie', 'cookie']] as const) {
      const value = chosen(choice)
      if (value !== undefined) headers.push(name, value)
    }
    const received: Received = {
      method: 'POST', host: 'h', authority: chosen('authority'), path: chosen('path'), query: chosen('query'), headers, seen: 0, bodyLength: 2, expectsContinue: false,
      persistent: true, again: chosen('again'),
    }
    const exchange = new Exchange(innerRequest('POST', received.path, []), nowhere, received, '1', 'id', 0)
    exchange.principal = chosen('principal')
    exchange.clientAddress = chosen('address')
    const wishes = wishesOf(exchange, undefined)
    const to: BuiltVariant = chosen('canary') ? second : first
    const { text, plain } = kept.begin(exchange, wishes, to, standing)
    assert.deepEqual({ text, plain }, createQuestions(route, rule, cache).begin(exchange, wishes, to, standing))
    beginnings.set(text, (beginnings.get(text) ?? 0) + 1)
  }
  assert.ok(beginnings.size > 1000 && beginnings.size < 7500, String(beginnings.size))
})
