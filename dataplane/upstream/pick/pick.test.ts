import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Balance } from '../../../table/resilience.ts'
import { Load } from '../load/load.ts'
import { createPicker } from './create.ts'
import { Latency } from './latency.ts'
import type { Asker, Member, Picker } from './pick.ts'

type Fake = { -readonly [name in keyof Member]: Member[name] } & { id: number }

const fake = (id: number, more: Partial<Fake> = {}): Fake =>
  ({ id, inFlight: 0, full: false, label: `10.0.${id >> 8}.${id & 255}:8000`, zone: undefined, since: 0, latency: undefined, load: undefined, ...more })
const fakes = (count: number, more: (id: number) => Partial<Fake> = () => ({})) => Array.from({ length: count }, (_, id) => fake(id, more(id)))
const busy = (...inFlight: number[]) => inFlight.map((count, id) => fake(id, { inFlight: count }))
const nobody: Asker = { principal: undefined, clientAddress: '192.0.2.1', promptKey: undefined, header: () => undefined }
const keyed = (key: number): Asker => ({ ...nobody, header: (name) => name === 'x-user' ? `user-${key}` : undefined })

/** Mulberry32: the same numbers in each run. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mix = Math.imul(state ^ (state >>> 15), 1 | state)
    mix = (mix + Math.imul(mix ^ (mix >>> 7), 61 | mix)) ^ mix
    return ((mix ^ (mix >>> 14)) >>> 0) / 2 ** 32
  }
}

const at = { now: 1_000_000 }
const picker = (balance: Balance, zone?: string): Picker<Fake> => {
  at.now = 1_000_000
  return createPicker<Fake>(balance, { turns: new Map(), zone, random: seeded(1), clock: () => at.now })
}

/** How often each was picked. */
function counts({ pick }: Picker<Fake>, members: readonly Fake[], times: number, asker: (i: number) => Asker = () => nobody): number[] {
  const all = members.map(() => 0)
  for (let i = 0; i < times; i++) {
    const picked = pick(members, asker(i))
    if (picked !== undefined) all[members.indexOf(picked)]!++
  }
  return all
}

const policies = ['RoundRobin', 'LeastRequest', 'PeakEWMA', 'ConsistentHash', 'InferenceAware'] as const
const balanceOf = (policy: Balance['policy']): Balance => policy === 'ConsistentHash' ? { policy, key: { by: 'Header', name: 'x-user' } } : { policy }

for (const policy of policies) {
  test(`${policy}: nobody of nobody, the only one of one, and never one that was tried`, () => {
    const { pick } = picker(balanceOf(policy))
    const [one, two] = fakes(2)
    assert.ok(one && two)
    for (const asker of [nobody, keyed(7)]) {
      assert.equal(pick([], asker), undefined)
      assert.equal(pick([one], asker), one)
      assert.equal(pick([one], asker, [one]), undefined)
      assert.equal(pick([one, two], asker, [one]), two)
      const many = fakes(40)
      for (let i = 0; i < 200; i++) assert.equal(pick(many, asker, many.slice(0, 39)), many[39])
    }
  })

  test(`${policy}: whoever asks why takes no turn, and is told of every endpoint`, () => {
    const { pick, weigh } = picker(balanceOf(policy))
    const members = busy(0, 0, 0)
    for (const asker of [nobody, keyed(3)]) {
      const first = weigh(members, asker)
      assert.deepEqual(new Set(first.map(({ endpoint }) => endpoint)), new Set(members.map(({ label }) => label)))
      assert.deepEqual(weigh(members, asker), first)
      if (policy === 'RoundRobin' || asker !== nobody) assert.equal(pick(members, asker)?.label, first[0]?.endpoint)
    }
  })
}

test('round robin takes turns, also across a table swap', () => {
  const turns = new Map<string, { next: number }>()
  const three = fakes(3)
  const ids = Array.from({ length: 6 }, () => createPicker<Fake>({ policy: 'RoundRobin' }, { turns, zone: undefined }).pick(three, nobody)?.id)
  assert.deepEqual(ids, [0, 1, 2, 0, 1, 2])
})

test('least request takes the idlest of few, and equals in turn', () => {
  const least = picker({ policy: 'LeastRequest' })
  assert.equal(least.pick(busy(3, 1, 2), nobody)?.id, 1)
  assert.deepEqual(counts(least, busy(0, 0, 0, 0), 400), [100, 100, 100, 100])
})

test('least request of many never takes the busiest', () => {
  const many = busy(...Array.from({ length: 40 }, (_, i) => i === 7 ? 1000 : i % 3))
  const all = counts(picker({ policy: 'LeastRequest' }), many, 4000)
  assert.equal(all[7], 0)
  assert.ok(all.every((count, id) => id === 7 || count > 0), 'the others all have some')
})

test('PeakEWMA follows a rise at once, forgets it slowly, and knows nothing after a long silence', () => {
  const latency = new Latency()
  assert.equal(latency.at(0), undefined)
  latency.observe(10, 0)
  latency.observe(400, 1)
  assert.equal(Math.round(latency.at(1)!), 400)
  for (let now = 11; now <= 1001; now += 10) latency.observe(10, now)
  const after = latency.at(1001)!
  assert.ok(after > 300 && after < 400, `a second of good answers does not undo it: ${after}`)
  assert.ok(latency.at(11_001)! < after / 2)
  assert.equal(latency.at(40_000), undefined)
})

test('PeakEWMA hardly asks one that is twenty times slower, and asks one that nobody knows once', () => {
  const peak = picker({ policy: 'PeakEWMA' })
  const members = fakes(10, (id) => {
    const latency = new Latency()
    latency.observe(id === 3 ? 400 : 20, at.now)
    return { latency, inFlight: 1 }
  })
  assert.equal(counts(peak, members, 1000)[3], 0)
  const stranger = fake(10)
  assert.equal(peak.pick([...members, stranger], nobody), stranger)
  stranger.inFlight = 1
  assert.equal(counts(peak, [...members, stranger], 1000)[10], 0)
})

test('a consistent hash: the same endpoint for a key, and all endpoints for all keys', () => {
  const members = fakes(10)
  const { pick } = picker(balanceOf('ConsistentHash'))
  const other = picker(balanceOf('ConsistentHash'))
  for (let key = 0; key < 500; key++) {
    const asker = keyed(key)
    const first = pick(members, asker)
    assert.equal(pick(members, asker), first)
    assert.equal(other.pick([...members].reverse(), asker), first, 'another proxy says the same, in whichever order it has them')
  }
  const all = counts(picker(balanceOf('ConsistentHash')), members, 20_000, keyed)
  assert.ok(all.every((count) => count > 1200 && count < 2900), String(all))
})

test('a consistent hash: when an endpoint comes or goes, only its own keys move', () => {
  const before = fakes(20)
  const after = before.filter(({ id }) => id !== 7)
  const [one, other] = [picker(balanceOf('ConsistentHash')), picker(balanceOf('ConsistentHash'))]
  let moved = 0
  for (let key = 0; key < 5000; key++) {
    const with7 = one.pick(before, keyed(key))
    const without = other.pick(after, keyed(key))
    if (with7?.id === 7) moved++
    else assert.equal(without, with7)
  }
  assert.ok(moved > 5000 / 20 / 2 && moved < 5000 / 20 * 2, `${moved} of 5000 keys were on one of 20`)
})

test('a consistent hash: one key that everybody has fills no endpoint more than the bound says', () => {
  const { pick } = picker(balanceOf('ConsistentHash'))
  const members = fakes(10)
  for (let i = 0; i < 1000; i++) {
    const picked = pick(members, keyed(1))
    assert.ok(picked)
    picked.inFlight++
    const mean = (i + 1) / members.length
    assert.ok(picked.inFlight <= Math.max(4, Math.ceil(1.25 * mean)), `${picked.inFlight} in flight, ${mean} on average`)
  }
  assert.ok(members.filter(({ inFlight }) => inFlight > 0).length >= 8)
})

test('inference aware: what others give an endpoint counts, and ours is not counted twice', () => {
  const aware = picker({ policy: 'InferenceAware' })
  const loaded = (report: Parameters<Load['report']>[0], inFlight: number, then = inFlight) => {
    const load = new Load()
    load.report(report, then, at.now)
    return { load, inFlight }
  }
  const all = [
    fake(0, loaded({ waiting: 0, running: 6, used: 0.1 }, 0)),
    fake(1, loaded({ waiting: 0, running: 6, used: 0.1 }, 5)),
    fake(2, loaded({ waiting: 0, running: 1, used: 0.1 }, 0)),
  ]
  assert.deepEqual(aware.weigh(all, nobody).map(({ endpoint }) => all.findIndex(({ label }) => label === endpoint)), [2, 0, 1])
  assert.equal(aware.weigh(all, nobody)[1]?.why, '0 in flight, 6 of others, 0 waiting, cache 10 % full')
  assert.equal(aware.weigh(all, nobody)[2]?.cost, 5 + 1 + 1, 'five of its six are ours')
  const two = [fake(0, loaded({ waiting: 0, running: 4, used: 0.95 }, 0)), fake(1, loaded({ waiting: 0, running: 5, used: 0.2 }, 0))]
  assert.equal(aware.pick(two, nobody)?.id, 1, 'a full cache counts for more than one request')
})

test('inference aware: an old report fades, and without reports it is least requests', () => {
  const aware = picker({ policy: 'InferenceAware' })
  const load = new Load()
  load.report({ waiting: 20, running: 20 }, 0, at.now)
  const members = [fake(0, { load, inFlight: 1 }), fake(1, { inFlight: 2 })]
  const costs = () => aware.weigh(members, nobody).find(({ endpoint }) => endpoint === members[0]?.label)!.cost
  const before = costs()
  at.now += 5000
  assert.ok(costs() < before, 'it counts less')
  at.now += 5000
  assert.equal(aware.pick(members, nobody)?.id, 0, 'and then for nothing')
  assert.equal(aware.weigh(members, nobody)[0]?.why, '1 in flight, no report')
})

test('inference aware: a difference that lasts is believed until the next report, and one that does not, for a moment', () => {
  for (const [lasting, share] of [[true, 0], [false, 0.4]] as const) {
    const aware = picker({ policy: 'InferenceAware' })
    const random = seeded(2)
    const members = fakes(4, () => ({ load: new Load() }))
    const report = () => {
      for (const { id, load } of members) load?.report({ running: lasting ? id * 10 : Math.floor(random() * 40) }, 0, at.now)
    }
    for (let i = 0; i < 200; i++, at.now += 1000) {
      report()
      aware.weigh(members, nobody)
    }
    at.now -= 50
    const costs = aware.weigh(members, nobody).map(({ cost }) => cost)
    const spread = (costs.at(-1)! - costs[0]!) / Math.max(...members.map(({ load }) => load?.others ?? 0))
    assert.ok(lasting ? spread > 0.9 : spread < share, `${spread} of the difference is left`)
  }
})

test('a slow start: a new endpoint comes to its full share over the time that is asked for', () => {
  for (const policy of ['RoundRobin', 'LeastRequest', 'PeakEWMA', 'InferenceAware'] as const) {
    const slow = picker({ policy, slowStart: 10_000 })
    const members = fakes(4, (id) => ({ since: id === 3 ? at.now : 0 }))
    const shareAfter = (milliseconds: number) => {
      at.now = 1_000_000 + milliseconds
      return counts(slow, members, 4000)[3]! / 1000
    }
    const [first, half, whole] = [shareAfter(0), shareAfter(5000), shareAfter(10_000)]
    // Of two drawn at random the less busy is taken; these are all equal, so the first drawn.
    assert.ok(first > 0.05 && first < 0.25, `${policy} begins with ${first}`)
    assert.ok(half > 0.4 && half < 0.8, `${policy} is at ${half} after half of the time`)
    assert.ok(whole > 0.9 && whole < 1.1, `${policy} ends with ${whole}`)
  }
})

test('a slow start holds back nobody where all are new', () => {
  const slow = picker({ policy: 'RoundRobin', slowStart: 60_000 })
  assert.deepEqual(counts(slow, fakes(4, () => ({ since: at.now })), 400), [100, 100, 100, 100])
})

test('a slow start of a consistent hash: each key comes to the new endpoint once, and none goes elsewhere', () => {
  const slow = picker({ ...balanceOf('ConsistentHash'), slowStart: 10_000 })
  const members = fakes(4, (id) => ({ since: id === 3 ? at.now : 0 }))
  const owners = () => Array.from({ length: 2000 }, (_, key) => slow.pick(members, keyed(key))?.id)
  let before = owners()
  let last = -1
  for (const after of [1000, 2500, 5000, 7500, 10_000]) {
    at.now = 1_000_000 + after
    const next = owners()
    for (const [key, owner] of next.entries()) if (owner !== before[key]) assert.equal(owner, 3, 'what moves, moves to the new one')
    const share = next.filter((owner) => owner === 3).length
    assert.ok(share > last, `${share} of 2000 keys after ${after} ms`)
    last = share
    before = next
  }
  assert.deepEqual(before, Array.from({ length: 2000 }, (_, key) => picker(balanceOf('ConsistentHash')).pick(members, keyed(key))?.id))
})

const zones = (...all: number[]) => all.flatMap((count, zone) => fakes(count, (id) => ({ zone: 'abc'[zone], label: `${zone}-${id}:80` })))
  .map((member, id) => ({ ...member, id }))
const byZone = (members: readonly Fake[], all: readonly number[], of: string) =>
  members.reduce((sum, { zone }, id) => zone === of ? sum + (all[id] ?? 0) : sum, 0)

test('its own zone has everything where it has its part of the endpoints, and no turn goes elsewhere', () => {
  for (const policy of policies) {
    const members = zones(3, 3, 3)
    const all = counts(picker({ ...balanceOf(policy), zoneAware: true }, 'a'), members, 900, (i) => i % 2 === 0 ? nobody : keyed(i))
    assert.equal(byZone(members, all, 'a'), 900, policy)
    assert.ok(all.slice(0, 3).every((count) => count > 150), `${policy}: ${all.join()}`)
  }
})

test('a zone with less keeps what it can take, and the rest goes where there is more, by how much more', () => {
  for (const policy of policies) {
    // Each zone brings a third of the requests: five endpoints' worth. Here is one; b has one to spare, c three.
    const members = zones(1, 6, 8)
    const all = counts(picker({ ...balanceOf(policy), zoneAware: true }, 'a'), members, 10_000, (i) => policy === 'ConsistentHash' ? keyed(i) : nobody)
    const [a, b, c] = ['a', 'b', 'c'].map((zone) => byZone(members, all, zone) / 10_000)
    assert.ok(Math.abs(a! - 0.2) < 0.02, `${policy}: ${a} stay`)
    assert.ok(Math.abs(b! - 0.8 / 4) < 0.02, `${policy}: ${b} go to b`)
    assert.ok(Math.abs(c! - 0.8 * 3 / 4) < 0.03, `${policy}: ${c} go to c`)
  }
})

test('zones make no difference where the proxy does not know its own, or has nobody there, or they are full', () => {
  const members = zones(2, 2, 2)
  assert.deepEqual(counts(picker({ policy: 'RoundRobin', zoneAware: true }), members, 600), [100, 100, 100, 100, 100, 100])
  assert.deepEqual(counts(picker({ policy: 'RoundRobin', zoneAware: true }, 'd'), members, 600), [100, 100, 100, 100, 100, 100])
  const full = members.map((member) => ({ ...member, full: member.zone === 'a', inFlight: member.zone === 'a' ? 9 : 0 }))
  const all = counts(picker({ policy: 'LeastRequest', zoneAware: true }, 'a'), full, 600)
  assert.equal(byZone(full, all, 'a'), 0, 'who is full has enough')
})
