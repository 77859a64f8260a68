import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request as send, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { listenControl } from '../control.ts'
import type { Log } from '../log.ts'
import type { RolloutRequest } from '../rollout/page.ts'
import { createAccess, type AccessOptions, type Actor } from './access.ts'
import { fileToken } from './file-token.ts'

const silent: Log = () => {}
const body = { namespace: 'ml', route: 'fraud', rule: 'infer', action: 'promote' }
const jane = 'a-token-of-jane'
const identify: AccessOptions['identify'] = (token) => Promise.resolve(token === jane ? { name: 'jane', own: true } : { status: 401, error: 'unknown' })
const bearer = { authorization: `Bearer ${jane}` }

type Given = [request: RolloutRequest, actor: Actor]

async function control(t: TestContext, options: Partial<AccessOptions> = {}) {
  const given: Given[] = []
  const names = options.names ?? []
  const listening = await listenControl({
    host: '127.0.0.1', port: 0, ready: () => true, status: () => ({ items: [], problems: [] }),
    metrics: (_, response) => response.end(), names,
    look: () => Promise.reject(new Error('nobody looks')),
    commands: {
      access: createAccess({ overFiles: true, names, ...options }),
      obey: (request, actor) => {
        given.push([request, actor])
        return Promise.resolve({ rule: {} })
      },
    },
  })
  t.after(() => listening.close())
  const { host, port } = new URL(listening.url)
  const post = (headers: Readonly<Record<string, string>> = {}, path = '/rollout') => ask(port, path, 'POST', { 'content-type': 'application/json', ...headers }, JSON.stringify(body))
  const page = { origin: `http://${host}`, 'sec-fetch-site': 'same-origin', 'x-modelroute-console': '1' }
  return { port, given, post, page, get: (path: string, headers = {}) => ask(port, path, 'GET', headers) }
}

async function ask(port: string, path: string, method: string, headers: Readonly<Record<string, string>>, payload?: string) {
  const request = send({ host: '127.0.0.1', port, path, method, headers, agent: false })
  request.end(payload)
  const [response] = await once(request, 'response') as [IncomingMessage]
  const text = Buffer.concat(await response.toArray() as Buffer[]).toString()
  return { status: response.statusCode, text, retryAfter: response.headers['retry-after'] }
}

suite('who may give commands', () => {
  test('without tokens a process of the machine may, and no page', async (t) => {
    const { post, page, given } = await control(t)
    assert.equal((await post()).status, 200)
    assert.equal(given[0]?.[1].name, 'local')
    const { status, text } = await post(page)
    assert.deepEqual([status, /--console-actions/.test(text)], [403, true])
    assert.equal(given.length, 1)
  })

  test('a page gives them with a token, and with nothing that another page could send', async (t) => {
    const { port, post, page, given } = await control(t, { identify })
    assert.equal((await post({ ...page, ...bearer })).status, 200)
    assert.deepEqual(given.map(([request, { name, token }]) => [request.action, name, token]), [['promote', 'jane', jane]])
    // Over plain HTTP to another machine a browser leaves out where its page is from, but not the origin.
    const { 'sec-fetch-site': _, ...older } = page
    assert.equal((await post({ ...older, ...bearer })).status, 200)
    for (const [why, headers] of [
      ['another site', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }],
      ['another port of this machine', { origin: 'http://127.0.0.1:1', 'sec-fetch-site': 'same-site' }],
      ['no page at all, as a bookmark', { 'sec-fetch-site': 'none' }],
      ['an origin that is hidden', { origin: 'null' }],
      ['a site that says it is another', { 'sec-fetch-site': 'cross-site' }],
      ['a form of our own page', { 'x-modelroute-console': '' }],
      ['a name turned to this machine', { host: `evil.example:${port}`, origin: `http://evil.example:${port}` }],
    ] as const) assert.equal((await post({ ...page, ...bearer, ...headers })).status, 403, why)
    assert.equal((await post({ ...page, ...bearer, 'content-type': 'text/plain' })).status, 415)
    assert.equal((await post(page)).status, 401, 'who is local has no page')
    assert.equal(given.length, 2)
    assert.deepEqual(await post({ ...page, ...bearer }, '/console/session').then(({ status, text }) => [status, JSON.parse(text)]), [200, { name: 'jane' }])
  })

  test('in a cluster nobody may without a token, wherever they are', async (t) => {
    const { post, given } = await control(t, { identify, overFiles: false })
    assert.equal((await post()).status, 401)
    assert.equal((await post({ authorization: 'Basic YTpi' })).status, 401)
    assert.equal((await post(bearer)).status, 200)
    assert.equal(given.length, 1)
  })

  test('from another machine only by a token, and that only where something encrypts', async () => {
    const from = (address: string, headers: Readonly<Record<string, string>> = {}) =>
      ({ headers: { host: '10.0.0.1:9903', ...headers }, socket: { localAddress: address, remoteAddress: '10.0.0.9' } }) as unknown as IncomingMessage
    const status = async (options: Partial<AccessOptions>, request: IncomingMessage) => {
      const outcome = await createAccess({ overFiles: true, names: [], ...options })(request)
      return 'error' in outcome ? outcome.status : outcome.name
    }
    assert.equal(await status({}, from('10.0.0.1')), 'anybody', 'the operator opened the port')
    assert.equal(await status({ overFiles: false }, from('10.0.0.1')), 403, 'any pod could')
    assert.equal(await status({ identify }, from('10.0.0.1')), 401)
    assert.equal(await status({ identify }, from('10.0.0.1', bearer)), 403)
    assert.equal(await status({ identify, names: ['gw.example.com'] }, from('10.0.0.1', { ...bearer, host: 'GW.example.com' })), 'jane')
    assert.equal(await status({ identify, names: ['gw.example.com'] }, from('::1', { host: 'gw.example.com' })), 401, 'a sidecar brings strangers to an address of the pod')
  })

  test('tokens are not guessed: after ten wrong ones an address waits', async (t) => {
    let now = 0
    const { post } = await control(t, { identify, now: () => now })
    const wrong = () => post({ authorization: 'Bearer guess' })
    for (let i = 0; i < 10; i++) assert.equal((await wrong()).status, 401)
    const { status, retryAfter } = await post(bearer)
    assert.deepEqual([status, retryAfter], [429, '60'])
    now = 60_000
    assert.equal((await post(bearer)).status, 200)
  })

  test('routes are not shown under a name that somebody turned to this machine', async (t) => {
    const { port, get } = await control(t, { names: ['gw.example.com'] })
    const under = async (host: string, path = '/status') => (await get(path, { host })).status
    for (const host of [`127.0.0.1:${port}`, `[::1]:${port}`, `localhost:${port}`, 'box', 'mr-controller.modelroute.svc', 'gw.example.com']) assert.equal(await under(host), 200, host)
    for (const host of [`evil.example:${port}`, 'x.svc.evil.example', 'evil.com@127.0.0.1', '127.0.0.1.evil.com']) assert.equal(await under(host), 403, host)
    assert.equal(await under('metrics.example', '/metrics'), 200)
  })
})

suite('the token of a file', () => {
  function folder(t: TestContext): string {
    const path = mkdtempSync(join(tmpdir(), 'console-token-'))
    t.after(() => rmSync(path, { recursive: true }))
    return path
  }
  const nameOf = async (knows: Awaited<ReturnType<typeof fileToken>>, token: string) => {
    const found = await knows(token)
    return 'error' in found ? found.status : found.name
  }

  test('is made once, for its owner only, and is in no log', async (t) => {
    const stateDir = folder(t)
    const told: unknown[] = []
    const knows = await fileToken({ stateDir, log: (...line) => told.push(line) })
    const path = join(stateDir, 'console-token')
    const token = readFileSync(path, 'utf8').trim()
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.ok(token.length >= 43 && !JSON.stringify(told).includes(token))
    assert.equal(await nameOf(knows, token), 'token')
    assert.equal(await nameOf(knows, `${token}x`), 401)
    await fileToken({ stateDir, log: silent })
    assert.equal(readFileSync(path, 'utf8').trim(), token, 'kept over a restart')
  })

  test('may be replaced while the process runs; one that could be guessed is refused', async (t) => {
    const file = join(folder(t), 'token')
    writeFileSync(file, 'first-token-0123456789\n')
    const knows = await fileToken({ file, log: silent })
    writeFileSync(file, 'second-token-0123456789\n')
    assert.equal(await nameOf(knows, 'first-token-0123456789'), 401)
    assert.equal(await nameOf(knows, 'second-token-0123456789'), 'token')
    writeFileSync(file, '')
    assert.equal(await nameOf(knows, ''), 503, 'an empty file is no token')
    await assert.rejects(fileToken({ file, log: silent }), /16 characters/)
    await assert.rejects(fileToken({ log: silent }), /--state-dir/)
  })
})
