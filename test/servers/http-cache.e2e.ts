// The suite of tests for HTTP caches against ModelRoute, nginx and Varnish, side by side.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { startCachingNginx, startVarnish } from './http-cache/peers.ts'
import { startSuite, type Case, type Suite } from './http-cache/suite.ts'
import { backend, startServe, type Serving } from './serve.ts'

/** What the tests are about has a cache, and what they tell the origin beforehand has none. */
const manifests = (port: number) => backend('origin', [port], '/').replace('  rules:\n', `  rules:
  - name: tested
    matches: [{path: {type: PathPrefix, value: /test}}]
    backendRefs: [{variant: only, name: origin, port: 8000}]
    cache: {ttl: 24h, scope: Shared, staleIfError: 1h}
`)

const count = (cases: readonly Case[], kind: Case['kind']) => {
  const all = cases.filter((one) => one.kind === kind)
  return { passed: all.filter(({ why }) => why === undefined).length, of: all.length }
}

suite('tests for HTTP caches', () => {
  let tests: Suite
  let gateway: Serving
  before(async () => {
    tests = await startSuite()
    gateway = await startServe(manifests(tests.port), '--log-level', 'warn')
  }, { timeout: 300_000 })
  after(() => Promise.all([gateway?.stop(), tests?.stop()]))

  test('more cases hold than with nginx and Varnish, and each that does not is in the documentation with its reason', { timeout: 900_000 }, async (t) => {
    const docs = await readFile(join(import.meta.dirname, '../../docs/caching.md'), 'utf8')
    const listed = new Set([...docs.slice(docs.indexOf('### Cases of http-cache-tests')).matchAll(/`([\w=-]+)`/g)].map(([, id]) => id))
    let ours = await tests.against(gateway.urls['http']?.replace(/\/$/, '') ?? '')
    const unknown = () => ours.filter(({ id, kind, why }) => kind !== 'check' && why !== undefined && !listed.has(id))
    // Cases wait for seconds, and a machine that is busy lets some be late: what holds once holds.
    for (let again = 0; again < 2 && unknown().length > 0; again++) {
      const next = new Map((await tests.against(gateway.urls['http']?.replace(/\/$/, '') ?? '')).map((one) => [one.id, one]))
      ours = ours.map((one) => (one.why === undefined ? one : next.get(one.id) ?? one))
    }
    assert.deepEqual(unknown(), [])
    const nginx = await startCachingNginx(tests.port)
    t.after(() => nginx.stop())
    const varnish = await startVarnish(tests.port)
    t.after(() => varnish.stop())
    const others = { nginx: await tests.against(nginx.base), Varnish: await tests.against(varnish.base) }
    for (const kind of ['required', 'optimal'] as const) {
      const own = count(ours, kind)
      t.diagnostic(`${kind}: ModelRoute ${own.passed} of ${own.of}, ${Object.entries(others).map(([name, cases]) => `${name} ${count(cases, kind).passed}`).join(', ')}`)
      for (const [name, cases] of Object.entries(others)) assert.ok(own.passed > count(cases, kind).passed, `${name} ${kind}`)
    }
  })
})
