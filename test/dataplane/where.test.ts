import assert from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Match } from '../../table/route.ts'
import { parseNetworks } from '../../dataplane/pipeline/networks.ts'
import type { GeoOptions } from '../../dataplane/pipeline/geo.ts'
import { keySet, withKeys } from './keys.ts'
import { countryDatabase } from './mmdb.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

/** The variant that a request meets: `special` by the match, else `rest`. */
async function gateway(t: TestContext, special: Partial<Match>, geo?: GeoOptions, trust = true) {
  const port = await httpUpstream(t, (_, response) => void response.end())
  const trusted = parseNetworks(['127.0.0.0/8'])
  assert.ok(typeof trusted !== 'string')
  const auth = { anyOf: [{ kind: 'apiKey' as const, in: 'Header' as const, name: 'x-api-key', set: 'ml?' }], anonymous: true }
  const table = active('1', [route({
    rules: [
      rule({ name: 'special', auth, matches: [match('/', special)], variants: [variant('special', 'ml/s:80')] }),
      rule({ name: 'rest', variants: [variant('rest', 'ml/s:80')] }),
    ],
  })], { 'ml/s:80': [port] })
  const keys = keySet('ml?', { ann: { consumer: 'ann', tier: 'pro' }, bob: { consumer: 'bob' } })
  const proxy = await testProxy(t, withKeys(table, keys), { geo, ...(trust && { trusted }) })
  const ask = async (headers: Record<string, string> = {}, path = '/') => (await fetch(proxy.url + path, { headers })).headers.get('x-modelroute-variant')
  return { ask, proxy }
}

test('a country is that of the address which trusted hops tell, by a database that is followed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-geo-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'countries.mmdb')
  writeFileSync(file, countryDatabase({ '192.0.2.0/24': 'DE', '198.51.100.0/25': 'FR', '203.0.113.7/32': 'JP' }))
  const { ask, proxy } = await gateway(t, { countries: ['DE', 'JP'] }, { file })
  const from = (address: string) => ask({ 'x-forwarded-for': address })
  assert.deepEqual(
    await Promise.all(['192.0.2.9', '203.0.113.7', '198.51.100.1', '203.0.113.8', '2001:db8::1', '127.0.0.1'].map(from)),
    ['special', 'special', 'rest', 'rest', 'rest', 'rest'],
  )
  writeFileSync(`${file}.broken`, 'nothing')
  renameSync(`${file}.broken`, file)
  await eventually(() => proxy.text().includes('the last one stays'))
  assert.equal(await from('192.0.2.9'), 'special')
  writeFileSync(`${file}.new`, countryDatabase({ '198.51.100.0/25': 'DE' }))
  renameSync(`${file}.new`, file)
  await eventually(() => proxy.text().includes('database replaced'))
  assert.deepEqual([await from('192.0.2.9'), await from('198.51.100.1')], ['rest', 'special'])
})

test('a header says the country only where a trusted hop wrote it, and only if it is one', async (t) => {
  const trusting = await gateway(t, { countries: ['DE'] }, { header: 'cf-ipcountry' })
  assert.deepEqual(
    [await trusting.ask({ 'cf-ipcountry': 'de' }), await trusting.ask({ 'cf-ipcountry': 'DE, DE' }), await trusting.ask()],
    ['special', 'rest', 'rest'],
  )
  const doubting = await gateway(t, { countries: ['DE'] }, { header: 'cf-ipcountry' }, false)
  assert.equal(await doubting.ask({ 'cf-ipcountry': 'DE' }), 'rest')
})

test('where nobody knows the country, no match by country holds', async (t) => {
  const { ask } = await gateway(t, { countries: ['DE'] })
  assert.equal(await ask({ 'cf-ipcountry': 'DE', 'x-forwarded-for': '192.0.2.9' }), 'rest')
})

test('an expression chooses by the request, and by who calls once that is known', async (t) => {
  const request = await gateway(t, { when: 'request.headers["x-beta"] == "1" && request.query.v == "2"' })
  assert.deepEqual([await request.ask({ 'x-beta': '1' }, '/?v=2'), await request.ask({ 'x-beta': '1' }), await request.ask()], ['special', 'rest', 'rest'])
  const caller = await gateway(t, { when: 'principal.tier == "pro" || request.path == "/free"' })
  assert.deepEqual(
    [await caller.ask({ 'x-api-key': 'ann' }), await caller.ask({ 'x-api-key': 'bob' }), await caller.ask(), await caller.ask({}, '/free')],
    ['special', 'rest', 'rest', 'special'],
  )
  assert.equal(await caller.ask({ 'x-api-key': 'wrong' }, '/free'), 'rest')
})
