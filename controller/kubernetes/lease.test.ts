import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import type { Api } from './api.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeServer } from '../../test/fakes/api-server.ts'
import { LEASES } from './kinds.ts'
import { Elector } from './lease.ts'

describe('an election', () => {
  let server: FakeServer
  let clock: FakeClock
  let candidates: Candidate[]

  /** One process with its own clock and connection. */
  type Candidate = Readonly<{ elector: Elector; api: Api; clock: FakeClock; said: string[] }>

  beforeEach(async () => {
    server = await new FakeServer().listen()
    server.install(LEASES)
    clock = new FakeClock()
    candidates = []
  })

  afterEach(async () => {
    // Hung requests end with their connections.
    for (const { api } of candidates) api.close()
    for (const { elector } of candidates) await elector.stop()
    await server.close()
  })

  function candidate(identity: string, its = clock): Candidate {
    const api = server.connect(its)
    const said: string[] = []
    const elector = new Elector({
      api,
      namespace: 'system',
      name: 'modelroute',
      identity,
      onStarted: term => said.push(`started ${term}`),
      onStopped: () => { said.push('stopped') },
      log: () => {},
      clock: its,
    })
    const one = { elector, api, clock: its, said }
    candidates.push(one)
    elector.start()
    return one
  }

  const spec = () => server.get(LEASES, 'system', 'modelroute')?.['spec'] as Record<string, unknown> | undefined
  const leads = (one: Candidate, within = 60_000) => clock.until(`${String(spec()?.['holderIdentity'])} to yield`, () => one.elector.leading, { limit: within, step: 250 })

  test('the first to come creates the lease and leads', async () => {
    const a = candidate('a')
    await leads(a)
    assert.equal(spec()?.['holderIdentity'], 'a')
    assert.equal(spec()?.['leaseDurationSeconds'], 15)
    assert.match(String(spec()?.['renewTime']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    assert.deepEqual(a.said, ['started 1'])
  })

  test('of many that come at once, one leads, and goes on leading', async () => {
    const all = ['a', 'b', 'c', 'd'].map(identity => candidate(identity))
    for (let i = 0; i < 200; i++) {
      await clock.advance(500)
      assert.ok(all.filter(({ elector }) => elector.leading).length <= 1)
    }
    assert.equal(all.flatMap(({ said }) => said).length, 1)
  })

  test('a leader that dies is followed after 15 s without a sign of life, not sooner', async () => {
    const mortal = new FakeClock()
    const a = candidate('a', mortal)
    await mortal.until('a to lead', () => a.elector.leading)
    const b = candidate('b')
    // The clock of a stands still: it is dead, or its machine is frozen.
    const took = await leads(b)
    assert.ok(took >= 15_000 && took <= 19_000, `${took} ms`)
    assert.deepEqual(b.said, ['started 2'])
    assert.equal(spec()?.['leaseTransitions'], 2)
  })

  test('a leader that comes back to life learns that it was followed', async () => {
    const frozen = new FakeClock()
    const a = candidate('a', frozen)
    await frozen.until('a to lead', () => a.elector.leading)
    const b = candidate('b')
    await leads(b)
    await frozen.until('a to notice', () => a.said.includes('stopped'))
    assert.equal(a.elector.leading, false)
    assert.equal(spec()?.['holderIdentity'], 'b')
  })

  test('times that others wrote mean nothing: a lease from the future, or the past, is followed all the same', async () => {
    for (const renewTime of ['2099-01-01T00:00:00.000000Z', '1999-01-01T00:00:00.000000Z']) {
      server.put(LEASES, 'system', 'modelroute', { spec: { holderIdentity: 'dead', leaseDurationSeconds: 15, renewTime } })
      const a = candidate(`a-${renewTime.slice(0, 4)}`)
      const took = await leads(a)
      assert.ok(took >= 15_000 && took <= 19_000, `${renewTime}: ${took} ms`)
      await a.elector.stop()
    }
  })

  test('stopping hands the lease over at once', async () => {
    const a = candidate('a')
    await leads(a)
    const b = candidate('b')
    await clock.advance(3_000)
    await a.elector.stop()
    assert.deepEqual(a.said, ['started 1', 'stopped'])
    assert.equal(spec()?.['holderIdentity'], '')
    assert.ok(await leads(b) <= 4_000)
  })

  test('what onStopped has to finish is finished before the lease is let go', async () => {
    const api = server.connect(clock)
    const order: string[] = []
    server.intercept = ({ what, body }) => {
      const its = body['spec'] as Record<string, unknown> | undefined
      if (what === 'write' && its?.['holderIdentity'] === '') order.push('released')
      return false
    }
    const elector = new Elector({
      api,
      namespace: 'system',
      name: 'modelroute',
      identity: 'a',
      onStarted: () => {},
      onStopped: async () => {
        await new Promise(resolve => setTimeout(resolve, 20))
        order.push('finished')
      },
      log: () => {},
      clock,
    })
    candidates.push({ elector, api, clock, said: [] })
    elector.start()
    await clock.until('leading', () => elector.leading)
    await elector.stop()
    assert.deepEqual(order, ['finished', 'released'])
  })

  test('an API server that hangs ends the lead at the deadline, 10 s after the last renewal', async () => {
    const a = candidate('a')
    await leads(a)
    await clock.advance(1_000)
    const before = server.count('write')
    server.intercept = request => request.what !== 'list'
    const began = clock.now()
    await clock.until('the end', () => !a.elector.leading, { step: 50 })
    const took = clock.now() - began
    assert.ok(took >= 8_000 && took <= 10_000, `${took} ms`)
    assert.ok(server.count('write') - before >= 2, 'it tried again before it gave up')
    await clock.advance(0)
    assert.deepEqual(a.said, ['started 1', 'stopped'])
  })

  test('an API server that fails for less than the deadline changes nothing', async () => {
    const a = candidate('a')
    await leads(a)
    server.intercept = (_request, response) => {
      response.destroy()
      return true
    }
    const failed = server.count('write')
    const cut = clock.now()
    await clock.until('6 s', () => clock.now() - cut > 6_000, { step: 250 })
    assert.ok(server.count('write') > failed)
    server.intercept = undefined
    await clock.until('half a minute', () => clock.now() - cut > 30_000, { step: 250 })
    assert.deepEqual(a.said, ['started 1'])
    assert.equal(a.elector.leading, true)
  })

  test('a renewal whose answer was lost is no lost lease', async () => {
    const a = candidate('a')
    await leads(a)
    let lost = 0
    server.intercept = (request, response) => {
      if (request.method !== 'PUT' || lost++ > 0) return false
      server.put(LEASES, 'system', 'modelroute', { spec: request.body['spec'] as object })
      response.destroy()
      return true
    }
    await clock.until('more renewals', () => server.count('write') > 6)
    assert.deepEqual(a.said, ['started 1'])
    assert.ok(lost >= 2)
  })

  test('a lease that is deleted is no longer ours, until it is won again', async () => {
    const a = candidate('a')
    await leads(a)
    server.remove(LEASES, 'system', 'modelroute')
    await clock.until('the second term', () => a.said.length === 3)
    assert.deepEqual(a.said.slice(0, 2), ['started 1', 'stopped'])
    assert.equal(a.elector.leading, true)
  })

  test('whoever leads or waits knows the term, and each change of hands is a later one', async () => {
    const mortal = new FakeClock()
    const a = candidate('a', mortal)
    assert.equal(a.elector.term, 0, 'it has yet to read the lease')
    await mortal.until('a to lead', () => a.elector.leading)
    const b = candidate('b')
    await clock.until('b to look', () => b.elector.term === 1)
    await leads(b)
    assert.equal(b.elector.term, 2)
    assert.equal(a.elector.term, 1, 'who sleeps knows of nothing')
    await mortal.until('a to learn', () => a.elector.term === 2)
  })

  test('a term that is known to be later than the lease says is followed by one after it, with the next renewal', async () => {
    const a = candidate('a')
    const b = candidate('b')
    await clock.until('one to lead', () => a.elector.leading || b.elector.leading)
    const [leader, other] = a.elector.leading ? [a, b] : [b, a]
    // The lease was deleted while nobody looked, or etcd is of yesterday: proxies remember more changes of hands.
    other.elector.surpass(500)
    leader.elector.surpass(500)
    await clock.until('the renewal', () => spec()?.['leaseTransitions'] === 501)
    await clock.until('the other to know', () => other.elector.term === 501)
    assert.equal(leader.elector.leading, true, 'nobody stops leading for that')
    assert.deepEqual(leader.said, ['started 1'])
    leader.elector.surpass(400)
    leader.elector.surpass(2_000_000)
    await clock.advance(10_000)
    assert.equal(spec()?.['leaseTransitions'], 501, 'an earlier one is none, and one that is far beyond is made up')
    await leader.elector.stop()
    await leads(other)
    assert.equal(spec()?.['leaseTransitions'], 502)
  })

  test('where the history was set back, whoever led begins anew, in a term that was never given', async () => {
    const a = candidate('a')
    await leads(a)
    const restore = server.backup()
    await a.elector.stop()
    const b = candidate('b')
    await leads(b)
    assert.equal(b.elector.term, 2)
    restore()
    b.elector.setBack()
    assert.deepEqual([b.elector.leading, b.said], [false, ['started 2']])
    // The lease is that of who is gone, until it has run out.
    await leads(b)
    assert.deepEqual([b.elector.term, b.said], [3, ['started 2', 'stopped', 'started 3']])
  })

  test('terms end at what the API server can hold, and leading does not', async () => {
    server.put(LEASES, 'system', 'modelroute', { spec: { holderIdentity: '', leaseDurationSeconds: 1, leaseTransitions: 2 ** 31 - 1 } })
    const a = candidate('a')
    await leads(a)
    a.elector.surpass(2 ** 31 - 1)
    await clock.advance(5_000)
    assert.equal(spec()?.['leaseTransitions'], 2 ** 31 - 1)
    assert.equal(a.elector.leading, true)
  })
})
