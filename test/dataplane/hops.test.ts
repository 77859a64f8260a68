import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { parseNetworks } from '../../dataplane/pipeline/networks.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

/** What a backend is told about where a request came from, and which rule served it. */
async function ask(t: TestContext, hops: readonly string[], headers: Record<string, string>): Promise<Record<string, string>> {
  const port = await httpUpstream(t, (request, response) => {
    const told = Object.entries(request.headers).filter(([name]) => name.includes('forward') || name === 'x-real-ip')
    response.end(JSON.stringify(Object.fromEntries(told)))
  })
  const inside = rule({ name: 'inside', matches: [match('/', { sources: ['203.0.113.0/24'] })], variants: [variant('inside', 'ml/s:80')] })
  const trusted = parseNetworks(hops)
  assert.ok(typeof trusted === 'function')
  const table = active('1', [route({ rules: [rule(), inside] })], { 'ml/s:80': [port] })
  const proxy = await testProxy(t, table, { ...(hops.length > 0 && { trusted }) })
  const response = await fetch(proxy.url, { headers: { host: 'a', ...headers } })
  const told = await response.json() as Record<string, string>
  return { ...told, rule: response.headers.get('x-modelroute-variant') ?? '' }
}

const host = (told: Record<string, string>) => ({ ...told, 'x-forwarded-host': told['x-forwarded-host']?.replace(/:\d+$/, '') })

test('without trusted hops, nobody is another than who connected', async (t) => {
  const told = await ask(t, [], { 'x-forwarded-for': '203.0.113.9', 'forwarded': 'for=203.0.113.9', 'x-real-ip': '203.0.113.9' })
  assert.deepEqual(host(told), { 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http', 'x-forwarded-host': '127.0.0.1', rule: 'stable' })
})

test('a trusted hop says who called: matches look at that address, and the backend is told the way', async (t) => {
  const told = await ask(t, ['127.0.0.0/8'], {
    'x-forwarded-for': '10.0.0.1, 203.0.113.9', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'models.example.com',
    'x-forwarded-port': '443', 'x_forwarded_for': '10.9.9.9', 'x-forwarded-user': 'root', 'x-real-ip': '10.9.9.9',
  })
  assert.deepEqual(told, {
    'x-forwarded-for': '203.0.113.9, 127.0.0.1', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'models.example.com',
    'x-forwarded-port': '443', rule: 'inside',
  })
})

test('Forwarded of a trusted hop goes on with our own word behind it', async (t) => {
  const told = await ask(t, ['127.0.0.1'], { forwarded: 'for=10.0.0.1, for="203.0.113.9:80";proto=https' })
  assert.deepEqual(host(told), {
    'forwarded': 'for="203.0.113.9:80";proto=https, for=127.0.0.1;proto=http',
    'x-forwarded-for': '203.0.113.9, 127.0.0.1', 'x-forwarded-proto': 'http', 'x-forwarded-host': '127.0.0.1', rule: 'inside',
  })
})

test('a hop that is not trusted cannot open a match by network', async (t) => {
  const told = await ask(t, ['10.0.0.0/8'], { 'x-forwarded-for': '203.0.113.9' })
  assert.equal(told['rule'], 'stable')
  assert.equal(told['x-forwarded-for'], '127.0.0.1')
})
