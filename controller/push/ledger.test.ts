import assert from 'node:assert/strict'
import test from 'node:test'
import { route } from '../../test/push/table.ts'
import { Ledger } from './ledger.ts'

const table = (...routes: ReturnType<typeof route>[]) => new Map(routes.map((each) => [each.id, each]))

test('an item is serialised once in its life, however often it is published and sent', () => {
  let calls = 0
  const counted = { ...route('ml/a'), toJSON: () => ((calls += 1), route('ml/a')) }
  const [one, two] = [new Ledger('routes'), new Ledger('routes')]
  for (let weight = 0; weight < 5; weight++) {
    for (const ledger of [one, two]) {
      assert.equal(ledger.publish(new Map<string, object>([['ml/a', counted], ['ml/b', route('ml/b', weight)]])), true)
      ledger.snapshot()
    }
  }
  assert.equal(calls, 1)
})

test('equal content in new objects is no change, in any order', () => {
  const ledger = new Ledger('routes')
  assert.equal(ledger.publish(table(route('ml/a'), route('ml/b'))), true)
  const { version } = ledger
  assert.equal(ledger.publish(table(route('ml/b'), route('ml/a'))), false)
  assert.equal(ledger.version, version)
  assert.equal(ledger.publish(table(route('ml/a'))), true)
  assert.notEqual(ledger.version, version)
  assert.equal(ledger.publish(table(route('ml/a'), route('ml/b'))), true)
  assert.equal(ledger.version, version, 'the same content is the same version again')
})

test('an empty table has a version, and publishing it first is no change', () => {
  const ledger = new Ledger('routes')
  assert.equal(ledger.publish(new Map()), false)
  const { version } = ledger
  const empty = { type: 'snapshot', schema: 1, resource: 'routes', version, items: [] }
  assert.deepEqual(JSON.parse(ledger.snapshot().toString()), empty)
})

test('a text is made once for all the proxies that need it', () => {
  const ledger = new Ledger('routes')
  ledger.publish(table(route('ml/a')))
  const [base, held] = [ledger.version, ledger.hashes]
  ledger.publish(table(route('ml/a', 1), route('ml/b')))
  assert.deepEqual(JSON.parse(ledger.delta(base, held)), {
    type: 'delta',
    schema: 1,
    resource: 'routes',
    base,
    version: ledger.version,
    upsert: [route('ml/a', 1), route('ml/b')],
    remove: [],
  })
  const before = ledger.snapshot()
  ledger.publish(table(route('ml/b')))
  assert.deepEqual(JSON.parse(ledger.delta(base, held)).remove, ['ml/a'])
  assert.notEqual(ledger.snapshot(), before)
})

test('the last versions are known by their hashes, and no more than the last', () => {
  const ledger = new Ledger('routes')
  const versions: string[] = []
  for (let weight = 0; weight < 100; weight++) {
    ledger.publish(table(route('ml/a', weight)))
    versions.push(ledger.version)
  }
  assert.equal(ledger.at(versions[99] ?? ''), ledger.hashes)
  assert.equal(ledger.at(versions[0] ?? ''), undefined)
  assert.ok(versions.filter((version) => ledger.at(version) !== undefined).length >= 16)
  assert.ok(versions.filter((version) => ledger.at(version) !== undefined).length <= 64)
})
