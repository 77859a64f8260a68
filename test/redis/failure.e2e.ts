import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { connectLimiter } from '../../dataplane/limits/create.ts'
import type { Decision, Limiter, Take } from '../../dataplane/limits/limiter.ts'
import { parseRedisUrl } from '../../dataplane/limits/redis/url.ts'
import { inTime, watchMachine } from '../machine.ts'
import { startRedis, until, type Server } from './servers.ts'
import { startToxiproxy, type Toxiproxy } from './toxiproxy.ts'

const hour = { type: 'FixedWindow', window: 'month' } as const
const limit = (name: string, more: Partial<Take> = {}): Take => ({
  key: `ml/failure/${name} FixedWindow`, algorithm: hour, amount: 1000, units: 1, hold: false,
  scope: 'Global', shadow: false, onStoreFailure: 'Local', ...more,
})

const open: Limiter[] = []
let said: string[] = []
/** Each test has a fleet of its own: proxies that ended while Redis was away count for a while. */
let fleet = 0
async function limiterAt(text: string): Promise<Limiter> {
  const redis = parseRedisUrl(text)
  assert.ok(typeof redis !== 'string')
  const limiter = await connectLimiter({ redis, fleet: `fleet-${fleet}`, say: (_, message, fields) => said.push(`${message} ${JSON.stringify(fields)}`) })
  open.push(limiter)
  return limiter
}

type Decided = Readonly<{ decision: Decision; took: number; at: number }>

/** One request every few milliseconds for a while, or until a little after the first that is as asked: what was decided, and how long it took. */
async function load(limiter: Limiter, take: Take, ms: number, enough: (decision: Decision) => boolean = () => false): Promise<Decided[]> {
  const all: Promise<Decided>[] = []
  let end = performance.now() + ms
  while (performance.now() < end) {
    const at = performance.now()
    const decision = limiter.take('ml', [take])
    // What is answered at once must not be measured with the turns of others.
    const took = performance.now() - at
    all.push(decision instanceof Promise ? decision.then((one) => ({ decision: one, took: performance.now() - at, at })) : Promise.resolve({ decision, took, at }))
    void Promise.resolve(decision).then((one) => {
      if (enough(one)) end = Math.min(end, performance.now() + 500)
    })
    await pause(2)
  }
  return Promise.all(all)
}

/** Load before an outage, until there has been none for a while: a machine that is busy makes one of its own. */
async function calm(limiter: Limiter, take: Take): Promise<Decided[]> {
  const all: Decided[] = []
  for (let tries = 0; tries < 20; tries++) {
    const usual = await load(limiter, take, 300)
    all.push(...usual)
    if (usual.every(({ decision }) => decision.by === 'store' && decision.allowed)) return all
  }
  throw new Error(said.join('\n'))
}

/** For tests that are not about time: nothing but an outage is one. */
const unhurried = (url: string) => `${url}?patience=1000ms`
const outages = () => said.filter((line) => line.includes('out of reach')).length

const leftOf = async (limiter: Limiter, take: Take) => (await limiter.take('ml', [{ ...take, units: 0, hold: false }])).verdicts[0]?.remaining
const sharedAgain = (limiter: Limiter) => until(async () => (await limiter.take('ml', [{ ...limit('probe'), units: 0 }])).by === 'store')

/** Ways to be away; each is undone by what it returns. */
type Way = (server: Server, proxy: Toxiproxy) => Promise<() => Promise<void>>
const ways: Record<string, Way> = {
  'stalled (SIGSTOP)': (server) => {
    server.signal('SIGSTOP')
    return Promise.resolve(() => Promise.resolve(server.signal('SIGCONT')))
  },
  'slow (a second for each answer)': (_, proxy) => proxy.toxic('latency', { latency: 1000 }),
  'silent (nothing comes back)': (_, proxy) => proxy.toxic('timeout', { timeout: 0 }),
  'reset (connections are cut)': (_, proxy) => proxy.toxic('reset_peer', { timeout: 0 }),
  'gone (nobody listens)': async (_, proxy) => {
    await proxy.enable(false)
    return () => proxy.enable(true)
  },
}

describe('when Redis is away', () => {
  let server: Server
  let proxy: Toxiproxy
  before(async () => {
    server = await startRedis()
    proxy = await startToxiproxy(server.port)
  })
  afterEach(async () => {
    fleet++
    said = []
    await proxy.enable(true)
    for (const limiter of open.splice(0)) await limiter.close()
  })
  after(async () => {
    await proxy.end()
    await server.end()
  })

  for (const [name, away] of Object.entries(ways)) {
    test(`${name}: little time is lost, then none; it is back within two seconds and was told what was taken`, async (t) => {
      const limiter = await limiterAt(proxy.url)
      const take = limit(`away ${name}`, { amount: 100_000 })
      const usual = await calm(limiter, take)
      const machine = watchMachine()
      const back = await away(server, proxy)
      const since = performance.now()
      const during = await load(limiter, take, 1000)
      await back()
      const healed = performance.now()
      const after = await load(limiter, take, 20_000, ({ by }) => by === 'store')
      const first = Math.max(...during.filter(({ at }) => at < since + 100).map(({ took }) => took))
      const later = during.filter(({ at }) => at > since + 500).map(({ took }) => took).sort((a, b) => a - b)
      const again = (after.find(({ decision }) => decision.by === 'store')?.at ?? Infinity) - healed
      const later99 = later[Math.floor(later.length * 0.99)] ?? Infinity
      t.diagnostic(`added at first ${first.toFixed(1)} ms, then p99 ${later99.toFixed(3)} ms; back after ${again.toFixed(0)} ms`)
      assert.ok(during.every(({ decision }) => decision.allowed))
      assert.ok(during.some(({ decision }) => decision.by === 'failure'))
      // lane.test.ts holds the bound by a clock.
      const did = machine()
      inTime(t, 'what is added at first', first, 25, did)
      inTime(t, 'what is added later', later99, 1, did)
      inTime(t, 'to be back', again, 2000, did)
      // Everything admitted is counted, once: what was on its way when the server went may be missing, and never twice.
      const admitted = [...usual, ...during, ...after].filter(({ decision }) => decision.allowed).length
      const reader = await limiterAt(unhurried(server.url))
      let used = 0
      await until(async () => {
        used = 100_000 - (await leftOf(reader, take) ?? 0)
        return used >= admitted - 20 * outages()
      }, 5000).catch(() => {})
      t.diagnostic(`${admitted} admitted, ${used} counted`)
      assert.ok(used <= admitted && used >= admitted - 20 * outages(), `${used} counted of ${admitted}`)
    })
  }

  test('each limit decides as its onStoreFailure says', async () => {
    const limiter = await limiterAt(unhurried(proxy.url))
    await limiter.take('ml', [limit('first')])
    await proxy.enable(false)
    await until(async () => (await limiter.take('ml', [limit('first')])).by === 'failure')
    const denied = await limiter.take('ml', [limit('deny', { onStoreFailure: 'Deny' }), limit('local')])
    assert.deepEqual([denied.allowed, denied.unavailable, denied.verdicts[0]?.allows], [false, true, false])
    const allow = limit('allow', { onStoreFailure: 'Allow', amount: 1 })
    for (let i = 0; i < 5; i++) assert.equal((await limiter.take('ml', [allow])).allowed, true)
    const local = limit('alone', { amount: 3 })
    assert.deepEqual(await Promise.all([1, 2, 3, 4].map(async () => (await limiter.take('ml', [local])).allowed)), [true, true, true, false])
    // A shadow refuses nobody, whatever it says of failure.
    assert.equal((await limiter.take('ml', [limit('shadow', { onStoreFailure: 'Deny', shadow: true })])).allowed, true)
    await proxy.enable(true)
    await sharedAgain(limiter)
    await until(async () => await leftOf(limiter, { ...allow, amount: 10 }) === 5)
    assert.equal(await leftOf(limiter, local), 0)
  })

  test('the limit is divided by the proxies that live, and begins where the store had been', async () => {
    const limiters = [await limiterAt(unhurried(proxy.url)), await limiterAt(unhurried(proxy.url)), await limiterAt(unhurried(proxy.url))]
    const take = limit('divided', { amount: 90 })
    const fresh = limit('fresh', { amount: 90 })
    // 60 of 90 are used, and each of three has heard of it.
    for (let i = 0; i < 60; i++) await limiters[i % 3]?.take('ml', [take])
    for (const limiter of limiters) await limiter.take('ml', [{ ...take, units: 0 }])
    // The first came when it was alone; it hears of the others every two seconds.
    await pause(4500)
    await proxy.enable(false)
    for (const limiter of limiters) await until(async () => (await limiter.take('ml', [limit('first')])).by === 'failure')
    const admittedOf = async (one: Take) => (await Promise.all(limiters.flatMap((limiter) => Array.from({ length: 100 }, async () => limiter.take('ml', [one]))))).filter(({ allowed }) => allowed).length
    assert.equal(await admittedOf(take), 30)
    assert.equal(await admittedOf(fresh), 90)
    await proxy.enable(true)
    for (const limiter of limiters) await sharedAgain(limiter)
    await until(async () => await leftOf(limiters[0]!, take) === 0 && await leftOf(limiters[0]!, fresh) === 0)
  })

  test('what is reserved outlives the outage, settles after it, and is not given back meanwhile', async () => {
    const limiter = await limiterAt(unhurried(proxy.url))
    const running = limit('running', { algorithm: { type: 'Concurrency' }, key: 'ml/failure/running Concurrency', amount: 3, hold: true, onStoreFailure: 'Allow' })
    const tokens = limit('tokens', { units: 100, hold: true, onStoreFailure: 'Allow' })
    const earlier = await limiter.take('ml', [running, tokens])
    await proxy.enable(false)
    await until(async () => (await limiter.take('ml', [limit('first')])).by === 'failure')
    const meanwhile = await limiter.take('ml', [running, tokens])
    assert.equal(meanwhile.by, 'failure')
    limiter.settle(earlier, [0, 10])
    await proxy.enable(true)
    await sharedAgain(limiter)
    await until(async () => await leftOf(limiter, running) === 2 && await leftOf(limiter, tokens) === 890)
    limiter.settle(meanwhile, [0, 20])
    await until(async () => await leftOf(limiter, running) === 3 && await leftOf(limiter, tokens) === 970)
  })

  test('a process that is busy itself does not take Redis for stalled', async () => {
    const limiter = await limiterAt(`${proxy.url}?patience=100ms`)
    const take = limit('busy')
    const all: Promise<Decision>[] = []
    for (let turn = 0; turn < 10; turn++) {
      all.push(Promise.resolve(limiter.take('ml', [take])))
      const end = performance.now() + 200
      while (performance.now() < end);
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.ok((await Promise.all(all)).every(({ by }) => by === 'store'))
  })
})
