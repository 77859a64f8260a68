import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { Active } from '../../dataplane/store.ts'
import type { BackendCredentials } from '../../table/backend.ts'
import type { Secret } from '../../table/secrets.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

const secret = (values: Record<string, string>, id = 'ml/credential'): Secret =>
  ({ id, data: Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')])) })

function table(port: number, credentials: BackendCredentials, ...secrets: Secret[]): Active {
  const routes = [route({ rules: [rule({ variants: [variant('stable', 'ml/s:80', { credentials })] })] })]
  return { ...active('1', routes, { 'ml/s:80': [port] }), secrets: new Map(secrets.map((one) => [one.id, one])) }
}

const echo = (t: TestContext) => httpUpstream(t, (request, response) => {
  response.end(JSON.stringify(request.rawHeaders.filter((_, at, all) => /^(authorization|x-api-key)$/i.test(all[at - (at % 2)] ?? ''))))
})

const fixed = (more: Partial<Extract<BackendCredentials, { kind: 'static' }>> = {}): BackendCredentials =>
  ({ kind: 'static', value: { secret: 'ml/credential', key: 'token' }, header: 'authorization', scheme: 'Bearer', ...more })

test('a credential takes the place of what the caller sent, and changes with its Secret', async (t) => {
  const port = await echo(t)
  const proxy = await testProxy(t, table(port, fixed(), secret({ token: 'first\n' })))
  const ask = async (headers: Record<string, string>): Promise<unknown> => (await fetch(proxy.url, { headers })).json()
  assert.deepEqual(await ask({ authorization: 'Bearer caller' }), ['authorization', 'Bearer first'])
  proxy.activate(table(port, fixed(), secret({ token: 'second' })))
  assert.deepEqual(await ask({}), ['authorization', 'Bearer second'])
  proxy.activate(table(port, fixed({ header: 'x-api-key', scheme: '' }), secret({ token: 'third' })))
  assert.deepEqual(await ask({ 'X-API-Key': 'caller' }), ['x-api-key', 'third'])
})

for (const [what, secrets] of [
  ['has not arrived', []],
  ['lacks the key', [secret({ other: 'x' })]],
  ['could end the header', [secret({ token: 'canary\r\nx-injected: 1' })]],
  ['is empty', [secret({ token: '\n' })]],
] as const) {
  test(`where the credential ${what} the backend is not called, and nothing of it is told`, async (t) => {
    let calls = 0
    const port = await httpUpstream(t, (_request, response) => {
      calls++
      response.end()
    })
    const proxy = await testProxy(t, table(port, fixed(), ...secrets))
    const response = await fetch(proxy.url)
    assert.equal(`${response.status} ${response.headers.get('x-modelroute-error')}`, '503 no_endpoints')
    const text = await response.text()
    assert.equal(calls, 0)
    assert.ok(!`${text}${proxy.text()}`.includes('canary'))
  })
}

test('a token is fetched once for many callers, and its endpoint may be down without a token being sent', async (t) => {
  let asked = 0
  let up = true
  const tokens = await httpUpstream(t, (_request, response) => {
    asked++
    response.statusCode = up ? 200 : 500
    response.end(JSON.stringify({ access_token: `t${asked}`, token_type: 'bearer', expires_in: 3600 }))
  })
  const port = await echo(t)
  const terms: BackendCredentials = { kind: 'oauth2', token: { url: `http://127.0.0.1:${tokens}/token`, loopback: true }, client: 'ml/client', scopes: [] }
  const client = (password: string) => secret({ client_id: 'me', client_secret: password }, 'ml/client')
  const proxy = await testProxy(t, table(port, terms, client('a')))
  const answers = await Promise.all(Array.from({ length: 20 }, async () => (await fetch(proxy.url, { headers: { authorization: 'Basic x' } })).json()))
  for (const answer of answers) assert.deepEqual(answer, ['authorization', 'Bearer t1'])
  assert.equal(asked, 1)
  up = false
  proxy.activate(table(port, terms, client('b')))
  const refused = await fetch(proxy.url)
  assert.equal(refused.status, 503)
  assert.match(proxy.text(), /token endpoint answered 500/)
  assert.ok(!proxy.text().includes('t1'))
})
