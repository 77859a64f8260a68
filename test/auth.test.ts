import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { key as keyCommand } from '../cli/key.ts'
import { readOptions } from '../cli/options.ts'
import { startServing } from '../cli/serve.ts'
import { inTime, watchMachine } from './machine.ts'
import { httpUpstream } from './dataplane/sockets.ts'
import { serviceAt } from './manifests.ts'
import './steady.ts'
import { client, identityProvider } from './tokens/oidc.ts'
import { signer, token } from './tokens/sign.ts'

/** The worked examples of docs/auth.md, over files: from a Secret to an answer. */

type Gateway = Readonly<{ url: string; write: (name: string, text: string) => void; remove: (name: string) => void; folder: string }>

const backend = (port: number) => `
${serviceAt('model', port, 'ml')}
`

/** A route over a model server that answers with its name and what it was told of the caller. */
async function gateway(t: TestContext, spec: string, more: Readonly<Record<string, string>> = {}): Promise<Gateway> {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-auth-'))
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  const port = await httpUpstream(t, (request, response) => {
    response.end(JSON.stringify({ consumer: request.headers['x-modelroute-consumer'] ?? null, url: request.url }))
  })
  write('backend.yaml', backend(port))
  write('route.yaml', `apiVersion: modelroute.io/v1alpha1\nkind: ModelRoute\nmetadata: {name: model, namespace: ml}\nspec:\n${spec}`)
  for (const [name, text] of Object.entries(more)) write(name, text)
  const served = await startServing({
    filename: [folder], host: '127.0.0.1', httpPort: 0, adminHost: '127.0.0.1', adminPort: 0, controlPort: 0,
    drainDelay: 0, drainTimeout: 60_000, logLevel: 'error', audit: join(folder, 'audit.log'),
  })
  t.after(async () => {
    await served.end()
    rmSync(folder, { recursive: true })
  })
  await served.started
  return { url: served.url, write, remove: (name) => rmSync(join(folder, name)), folder }
}

const key = (name: string, annotations: string, text = `key-of-${name}`) => `
apiVersion: v1
kind: Secret
metadata:
  name: ${name}
  namespace: ml
  labels: {modelroute.io/credential: api-key}
  annotations: {${annotations}}
stringData: {key: ${text}}
`

async function until(look: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!await look()) {
    if (Date.now() > deadline) assert.fail('waited a minute')
    await sleep(10)
  }
}

async function call(url: string, name?: string, path = '/v2/models/fraud/infer') {
  const answer = await fetch(url + path, { method: 'POST', body: '{}', headers: name === undefined ? {} : { 'x-api-key': `key-of-${name}` } })
  return answer.headers.get('x-modelroute-error') ?? answer.status
}

test('a key works as soon as its Secret is there, and no longer than that', async (t) => {
  const { url, write, remove } = await gateway(t, `
  auth: {anyOf: [{apiKey: {in: Header, name: x-api-key}}]}
  rules:
  - name: infer
    backendRefs: [{variant: stable, name: model, port: 8000}]
`, { 'ann.yaml': key('ann', 'modelroute.io/consumer: ann') })
  await until(async () => await call(url, 'ann') === 200)
  assert.equal(await call(url), 'unauthenticated')
  assert.equal(await call(url, 'bob'), 'unauthenticated')
  write('bob.yaml', key('bob', 'modelroute.io/consumer: bob'))
  await until(async () => await call(url, 'bob') === 200)
  const machine = watchMachine()
  const begin = performance.now()
  remove('ann.yaml')
  await until(async () => await call(url, 'ann') === 'unauthenticated')
  inTime(t, 'to be revoked', performance.now() - begin, 1000, machine())
  assert.equal(await call(url, 'bob'), 200)
})

test('permissions by tier and model, and another version of the model for one group', async (t) => {
  const { url } = await gateway(t, `
  auth: {anyOf: [{apiKey: {in: Header, name: x-api-key}}]}
  authorization:
    allow:
    - {tiers: [pro]}
    - {tiers: [free], models: [fraud]}
    - {when: 'principal.consumer == "auditor" && request.method == "POST"'}
  rules:
  - name: infer
    backendRefs: [{variant: stable, name: model, port: 8000}]
  - name: research
    matches: [{principal: {groups: [research]}}]
    backendRefs: [{variant: research, name: model, port: 8000}]
`, {
    'keys.yaml': [
      key('pro', 'modelroute.io/consumer: pro, modelroute.io/tier: pro, modelroute.io/groups: research'),
      key('free', 'modelroute.io/consumer: free, modelroute.io/tier: free'),
      key('auditor', 'modelroute.io/consumer: auditor'), key('none', 'modelroute.io/consumer: none'),
    ].join('---'),
  })
  await until(async () => await call(url, 'pro') === 200)
  assert.equal(await call(url, 'pro', '/v2/models/dear/infer'), 200)
  assert.equal(await call(url, 'free'), 200)
  assert.equal(await call(url, 'free', '/v2/models/dear/infer'), 'forbidden')
  assert.equal(await call(url, 'auditor', '/v2/models/dear/infer'), 200)
  assert.equal(await call(url, 'none'), 'forbidden')
  const variant = async (name: string) => (await fetch(url, { method: 'POST', headers: { 'x-api-key': `key-of-${name}` } })).headers.get('x-modelroute-variant')
  assert.deepEqual([await variant('pro'), await variant('auditor')], ['research', 'stable'])
})

test('a rule that asks who calls and does not hold answers 503 where a wider rule is open', async (t) => {
  const { url } = await gateway(t, `
  rules:
  - name: open
    backendRefs: [{variant: stable, name: model, port: 8000}]
  - name: guarded
    matches: [{path: {value: /v2/models/fraud}}]
    auth: {anonymous: true}
    authorization: {allow: [{when: 'request.nothing == 1'}]}
    backendRefs: [{variant: stable, name: model, port: 8000}]
`)
  await until(async () => await call(url, undefined, '/elsewhere') === 200)
  assert.equal(await call(url), 'auth_unavailable')
})

test('tokens of a provider by discovery and by introspection, and of keys in a Secret, beside each other', async (t) => {
  const shared = signer('HS256', 'shared')
  const idp = await identityProvider(t, signer('RS256', 'one'))
  const { url } = await gateway(t, `
  auth:
    anyOf:
    - jwt: {issuer: own, algorithms: [HS256], jwks: {secretRef: {name: keys}}}
    - jwt: {issuer: '${idp.issuer}', audiences: ['urn:models:jwt']}
    - introspection: {endpoint: '${idp.issuer}/token/introspection', clientSecretRef: {name: idp}, claims: {consumer: client_id}}
  rules:
  - name: infer
    backendRefs: [{variant: stable, name: model, port: 8000}]
`, {
    'secrets.yaml': ['keys', JSON.stringify({ jwks: JSON.stringify({ keys: [shared.jwk] }) }), 'idp', JSON.stringify({ ...client, client_id: 'resource server' })]
      .map((text, i) => i % 2 === 0 ? `apiVersion: v1\nkind: Secret\nmetadata: {name: ${text}, namespace: ml}\n` : `stringData: ${text}\n---\n`).join(''),
  })
  const claims = { iss: 'own', sub: 'job', exp: Math.floor(Date.now() / 1000) + 60 }
  const outcome = async (bearer: string) => {
    const answer = await fetch(url, { headers: { authorization: `Bearer ${bearer}` } })
    const body = await answer.json() as { consumer?: string }
    return answer.headers.get('x-modelroute-error') ?? body.consumer
  }
  await until(async () => await outcome(token(shared, claims)) === 'job')
  assert.equal(await outcome(await idp.token('jwt')), 'gateway')
  assert.equal(await outcome(await idp.token('opaque')), 'gateway')
  assert.equal(await outcome(token(shared, { ...claims, exp: 1 })), 'token_expired')
  // To the provider it is a token of nobody's.
  assert.equal(await outcome(token(shared, { ...claims, iss: 'else' })), 'unauthenticated')
  assert.equal(await outcome('made-up'), 'unauthenticated')
})

test('a key that the command makes works at once, goes on beside the one that replaces it, and ends when it is revoked', async (t) => {
  const { url, folder } = await gateway(t, `
  auth: {anyOf: [{apiKey: {in: Bearer, selector: {matchLabels: {team: risk}}}}]}
  rules:
  - name: infer
    backendRefs: [{variant: stable, name: model, port: 8000}]
`)
  const file = join(folder, 'keys.yaml')
  const run = async (line: string) => {
    const options = readOptions('key', [...line.split(' '), '-n', 'ml', '-o', file], {})
    assert.ok(!('usage' in options))
    let out = ''
    await keyCommand(options, { stdout: (text) => (out += text), stderr: () => {} })
    return out.trim()
  }
  const status = async (token: string) => (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).status
  const first = await run('create --consumer ann --label team=risk')
  await until(async () => await status(first) === 200)
  const second = await run('rotate --consumer ann --overlap 1h')
  await until(async () => await status(second) === 200)
  assert.equal(await status(first), 200)
  await run('revoke --consumer ann')
  await until(async () => await status(first) === 401 && await status(second) === 401)
})
