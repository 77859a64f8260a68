import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Upstreams, type Upstream } from '../upstream/pool.ts'
import { Checks, type CheckTerms } from './checks.ts'

const terms = (more: Partial<CheckTerms> = {}): CheckTerms => ({
  tenant: 'ml', active: { type: 'HTTP', path: '/', interval: 1000, timeout: 500, healthy: 2, unhealthy: 3 },
  served: undefined, host: undefined, credentials: undefined, ...more,
})
const settle = () => new Promise((resolve) => { setImmediate(() => setImmediate(resolve)) })

/** Checks whose answers are what a test says they are, and whose time is its own. */
function checksOf(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const upstreams = new Upstreams()
  const asked: { upstream: Upstream; headers: string[]; answer: (fault?: string) => Promise<unknown> }[] = []
  const changes: string[] = []
  const checks = new Checks({
    proof: (_tenant, { kind }) => kind === 'static' ? { header: 'authorization', value: 'Bearer x' } : { why: 'no token' },
    onChange: ({ endpoint, healthy, why }) => changes.push(`${endpoint} ${healthy ? 'healthy' : why}`),
    ask: (upstream, _terms, headers) => new Promise((resolve) => {
      asked.push({ upstream, headers, answer: (fault) => { resolve(fault); return settle() } })
    }),
  })
  t.after(() => checks.close())
  return {
    checks, asked, changes,
    endpoint: (n: number, tenant = 'ml') => upstreams.hold(tenant, { origin: `http://10.0.0.${n}:8080` }),
    /** The next question is asked, and answered. */
    answer: async (fault?: string) => {
      t.mock.timers.tick(1100)
      await settle()
      await asked.at(-1)?.answer(fault)
    },
  }
}

test('the first answer decides alone; then it takes as many in a row as the rule says, either way', async (t) => {
  const { checks, endpoint, answer, changes } = checksOf(t)
  let told = 0
  const check = checks.hold(endpoint(1), terms(), () => { told++ })
  assert.equal(check.state, 'unknown')
  await answer()
  assert.deepEqual([check.state, told], ['healthy', 1])
  await answer('it answered 503')
  await answer('it answered 503')
  await answer()
  await answer('it answered 503')
  await answer('it answered 503')
  assert.equal(check.state, 'healthy')
  await answer('it did not answer in time')
  assert.deepEqual([check.state, check.why], ['unhealthy', 'it did not answer in time'])
  await answer()
  assert.equal(check.state, 'unhealthy')
  await answer()
  assert.deepEqual([check.state, check.recoveries, told], ['healthy', 2, 3])
  assert.deepEqual(changes, ['10.0.0.1:8080 it did not answer in time', '10.0.0.1:8080 healthy'])
})

test('one bad answer at first is enough too, and then it takes as many good ones as the rule says', async (t) => {
  const { checks, endpoint, answer } = checksOf(t)
  const check = checks.hold(endpoint(1), terms(), () => {})
  await answer('it answered 503')
  assert.equal(check.state, 'unhealthy')
  await answer()
  assert.equal(check.state, 'unhealthy')
  await answer()
  assert.equal(check.state, 'healthy')
})

test('who asks the same of an endpoint shares the answers; the last that lets go ends the asking', async (t) => {
  const { checks, endpoint, asked, answer } = checksOf(t)
  const told: string[] = []
  const [a, b, c] = [() => told.push('a'), () => told.push('b'), () => told.push('c')] as const
  const check = checks.hold(endpoint(1), terms(), a)
  assert.equal(checks.hold(endpoint(1), terms(), b), check)
  const other = checks.hold(endpoint(1), terms({ host: 'models.example.com' }), c)
  assert.notEqual(other, check)
  await settle()
  assert.equal(asked.length, 2)
  assert.deepEqual(asked.map(({ headers }) => headers[1]), ['10.0.0.1:8080', 'models.example.com'])
  await asked[0]?.answer()
  assert.deepEqual(told, ['a', 'b'])
  checks.release(check, a)
  checks.release(other, c)
  await asked[1]?.answer()
  assert.deepEqual(told, ['a', 'b'], 'an answer that nobody waits for any more tells nobody')
  assert.equal(checks.size, 1)
  checks.release(check, b)
  await answer()
  assert.deepEqual([checks.size, asked.length], [0, 2])
})

test('no more than so many questions of a tenant are under way, and they keep no other tenant waiting', async (t) => {
  const { checks, endpoint, asked } = checksOf(t)
  for (let n = 0; n < 100; n++) checks.hold(endpoint(n), terms(), () => {})
  checks.hold(endpoint(1, 'other'), terms({ tenant: 'other' }), () => {})
  await settle()
  assert.equal(asked.length, 33)
  assert.equal(asked.filter(({ upstream }) => upstream.key.startsWith('other ')).length, 1)
  await asked[0]?.answer()
  assert.equal(asked.length, 34)
})

test('where the backend wants a credential it is shown one, and is not asked without it', async (t) => {
  const { checks, endpoint, asked } = checksOf(t)
  const secret = { secret: 'ml/s', key: 'key' }
  checks.hold(endpoint(1), terms({ credentials: { kind: 'static', value: secret, header: 'authorization', scheme: 'Bearer' } }), () => {})
  const token = { url: 'https://id.example.com/token', loopback: false }
  const check = checks.hold(endpoint(2), terms({ credentials: { kind: 'oauth2', token, client: 'ml/c', scopes: [] } }), () => {})
  await settle()
  assert.deepEqual(asked.map(({ headers }) => headers.slice(-2)), [['authorization', 'Bearer x']])
  assert.equal(check.why, 'no token')
})

test('questions are spread in time', async (t) => {
  const { checks, endpoint, asked } = checksOf(t)
  for (let n = 0; n < 30; n++) checks.hold(endpoint(n), terms(), () => {})
  await settle()
  for (const each of asked.slice()) await each.answer()
  t.mock.timers.tick(1000)
  await settle()
  assert.ok(asked.length > 32 && asked.length < 58, `${asked.length - 30} of 30 come within the first half of the spread`)
})
