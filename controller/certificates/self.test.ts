import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, describe, test } from 'node:test'
import type { Api } from '../kubernetes/api.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeServer, status } from '../../test/fakes/api-server.ts'
import { SECRETS } from '../kubernetes/kinds.ts'
import type { Credentials, CredentialSource } from '../push/credentials.ts'
import { parseBundle } from './pair.ts'
import { namesOf, selfCertificates } from './self.ts'

const DAY = 86_400_000
const HOST = 'controller.gateway.svc'

test('the push port may be dialled by every name that a Service has', () => {
  assert.deepEqual(namesOf(HOST), [
    'controller.gateway.svc', 'controller.gateway.svc.cluster.local', 'controller.gateway', 'controller',
  ])
  assert.deepEqual(namesOf('controller.gateway.svc.corp.example'), [
    'controller.gateway.svc.corp.example', 'controller.gateway.svc', 'controller.gateway.svc.cluster.local',
    'controller.gateway', 'controller',
  ])
  assert.deepEqual(namesOf('push.example.com'), ['push.example.com'])
})

describe('certificates of its own making', () => {
  let server: FakeServer
  let clock: FakeClock
  /** Milliseconds that the wall clock is ahead of the virtual one. */
  let ahead: number
  let replicas: Replica[]

  type Replica = {
    source: CredentialSource
    api: Api
    current: Credentials | undefined
    failed: unknown
    log: string[]
  }

  beforeEach(async () => {
    server = await new FakeServer().listen()
    server.install(SECRETS)
    clock = new FakeClock()
    ahead = 0
    replicas = []
  })

  afterEach(async () => {
    for (const { source, api } of replicas) {
      source.close()
      api.close()
    }
    await server.close()
  })

  function replica(): Replica {
    const api = server.connect()
    const log: string[] = []
    const its = { now: clock.now, after: clock.after, date: () => new Date(clock.date().getTime() + ahead) }
    const source = selfCertificates({
      api, host: HOST, clock: its,
      log: (level, message, fields) => void log.push(`${level} ${message} ${JSON.stringify(fields)}`),
    })
    const one: Replica = { source, api, current: undefined, failed: undefined, log }
    replicas.push(one)
    source.start((next) => (one.current = next)).then(
      (first) => (one.current = first),
      (error: unknown) => (one.failed = error),
    )
    return one
  }

  const ready = async (...some: Replica[]) => {
    await clock.until('certificates', () => some.every(({ current }) => current !== undefined))
    await clock.until('the Secret of the proxies', () => stored('proxy') !== undefined)
  }
  const passes = async (ms: number) => {
    ahead += ms
    const looks = server.requests.length
    await clock.until('a look', () => server.requests.length >= looks + 2 * replicas.length, { step: 1_000 })
    await clock.advance(5)
  }
  const stored = (which: 'ca' | 'proxy') => server.get(SECRETS, 'default', `controller-${which}`)
  const secret = (name: string): Record<string, string> => {
    const data = (server.get(SECRETS, 'default', name)?.['data'] ?? {}) as Record<string, string>
    const decode = (value: string) => Buffer.from(value, 'base64').toString()
    return Object.fromEntries(Object.entries(data).map(([field, value]) => [field, decode(value)]))
  }
  const certificate = (pem = '') => new X509Certificate(pem)
  const writes = () => server.count('write')
  const encoded = (text: string) => Buffer.from(text).toString('base64')

  test('the authority signs for both ends, each for its own purpose', async () => {
    const one = replica()
    await ready(one)
    const authority = certificate(secret('controller-ca')['tls.crt'])
    assert.ok(authority.ca && authority.verify(authority.publicKey))
    assert.equal(authority.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')

    const own = certificate(one.current?.cert)
    assert.ok(own.verify(authority.publicKey) && own.checkIssued(authority) && !own.ca)
    assert.equal(own.subjectAltName, namesOf(HOST).map((name) => `DNS:${name}`).join(', '))
    assert.deepEqual(own.keyUsage, ['1.3.6.1.5.5.7.3.1'])

    const proxies = secret('controller-proxy')
    const theirs = certificate(proxies['tls.crt'])
    assert.ok(theirs.verify(authority.publicKey) && theirs.checkIssued(authority) && !theirs.ca)
    // Clients of the controller, servers of sidecars: by a name that is not the controller's.
    assert.deepEqual(theirs.keyUsage, ['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1'])
    assert.equal(theirs.subjectAltName, 'DNS:controller-proxy.gateway.svc')
    assert.equal(proxies['ca.crt'], authority.toString())
    assert.equal(one.current?.ca, authority.toString())

    for (const [it, days] of [[authority, 3650], [own, 90], [theirs, 90]] as const) {
      const now = clock.date().getTime()
      assert.ok(Math.abs(it.validFromDate.getTime() - (now - 25 * 3_600_000)) < 60_000, 'a day and an hour for clocks that are behind')
      assert.ok(Math.abs(it.validToDate.getTime() - (now + days * DAY)) < 60_000)
    }
    assert.equal(server.get(SECRETS, 'default', 'controller-ca')?.['type'], 'kubernetes.io/tls')
    assert.equal(server.get(SECRETS, 'default', 'controller-proxy')?.['type'], 'kubernetes.io/tls')
  })

  test('replicas that start at once agree on one authority', async () => {
    // Each sees that there is nothing, before any of them writes.
    let held: (() => void)[] | undefined = []
    server.intercept = (request, response) => {
      if (held === undefined || request.what !== 'get') return false
      held.push(() => status(response, 404, 'not found'))
      if (held.length === 3) {
        for (const go of held) go()
        held = undefined
      }
      return true
    }
    const three = [replica(), replica(), replica()]
    await ready(...three)
    const authority = certificate(secret('controller-ca')['tls.crt'])
    for (const { current } of three) assert.ok(certificate(current?.cert).verify(authority.publicKey))
    assert.equal(new Set(three.map(({ current }) => current?.key)).size, 3, 'each has a key of its own')
    assert.ok(certificate(secret('controller-proxy')['tls.crt']).verify(authority.publicKey))
    const made = three.filter(({ log }) => log.some((line) => /authority of the push channel created/.test(line)))
    assert.equal(made.length, 1)
  })

  test('both ends are renewed when two thirds of the life are over, and not before', async () => {
    const one = replica()
    await ready(one)
    await passes(0)
    const before = { own: one.current?.cert, theirs: secret('controller-proxy')['tls.crt'], writes: writes() }
    await passes(59 * DAY)
    assert.equal(one.current?.cert, before.own)
    assert.equal(writes(), before.writes)
    await passes(1.5 * DAY)
    await clock.until('the proxies to have another', () => secret('controller-proxy')['tls.crt'] !== before.theirs)
    assert.notEqual(one.current?.cert, before.own)
    assert.equal(writes(), before.writes + 1)
    const authority = certificate(secret('controller-ca')['tls.crt'])
    for (const pem of [one.current?.cert, secret('controller-proxy')['tls.crt']]) {
      const next = certificate(pem)
      assert.ok(next.verify(authority.publicKey))
      assert.ok(next.validToDate.getTime() > clock.date().getTime() + ahead + 89 * DAY)
    }
  })

  test('replicas that renew at once leave one certificate for the proxies', async () => {
    const two = [replica(), replica()]
    await ready(...two)
    // Their first looks are over, so that whatever comes now belongs to the renewal.
    await passes(0)
    const before = secret('controller-proxy')['tls.crt']
    const first = writes()
    let puts = 0
    const held: (() => void)[] = []
    // Both have read the old one before either writes: what comes second must be refused by its version.
    const version = String(server.get(SECRETS, 'default', 'controller-proxy')?.metadata.resourceVersion)
    server.intercept = (request, response) => {
      if (request.method === 'PUT') {
        puts++
        assert.equal((request.body['metadata'] as { resourceVersion?: string }).resourceVersion, version)
      }
      if (request.what !== 'get' || !request.path.endsWith('/controller-proxy') || held.length > 2) return false
      const object = structuredClone(server.get(SECRETS, 'default', 'controller-proxy'))
      held.push(() => response.end(JSON.stringify(object)))
      if (held.length === 2) {
        held.push(() => {})
        for (const go of held) go()
      }
      return true
    }
    await passes(61 * DAY)
    await clock.until('both to have tried', () => puts >= 2, { step: 1_000 })
    await clock.until('one to have won', () => secret('controller-proxy')['tls.crt'] !== before, { step: 1_000 })
    assert.equal(puts, 2)
    assert.equal(writes(), first + 2)
    // The server knows before the winner has its answer.
    const winners = () => two.filter(({ log }) => log.some((line) => /certificate of the proxies renewed/.test(line)))
    await clock.until('the winner to say so', () => winners().length > 0, { step: 1 })
    assert.equal(winners().length, 1)
  })

  test('a renewed authority breaks no trust in either direction', async () => {
    const one = replica()
    await ready(one)
    const old = certificate(secret('controller-ca')['tls.crt'])
    const before = { cert: one.current?.cert, theirs: secret('controller-proxy')['tls.crt'] }
    // Days before both are due, the authority is.
    const whole = structuredClone(server.get(SECRETS, 'default', 'controller-ca'))
    await passes(2434 * DAY)
    const trusted = () => parseBundle(secret('controller-proxy')['ca.crt'] ?? '')?.length
    await clock.until('both authorities to be trusted', () => trusted() === 2)
    const renewed = certificate(secret('controller-ca')['tls.crt'])
    assert.notEqual(renewed.fingerprint256, old.fingerprint256)
    assert.equal(renewed.subject, old.subject)
    assert.deepEqual(renewed.publicKey.export({ format: 'jwk' }), old.publicKey.export({ format: 'jwk' }))
    assert.equal(whole?.metadata.uid, server.get(SECRETS, 'default', 'controller-ca')?.metadata.uid)
    for (const pem of [before.cert, before.theirs, one.current?.cert, secret('controller-proxy')['tls.crt']]) {
      for (const authority of [old, renewed]) {
        assert.ok(certificate(pem).verify(authority.publicKey) && certificate(pem).checkIssued(authority))
      }
    }
    const bundle = [renewed.toString(), old.toString()].join('')
    assert.equal(one.current?.ca, bundle)
    assert.equal(secret('controller-proxy')['ca.crt'], bundle)
    // When the old one is over, it goes.
    await passes(1300 * DAY)
    await clock.until('the old one to go', () => trusted() === 1)
    assert.equal(one.current?.ca, renewed.toString())
  })

  test('an authority that another replica replaced is taken over', async () => {
    const one = replica()
    await ready(one)
    const before = one.current
    server.remove(SECRETS, 'default', 'controller-ca')
    await passes(0)
    await clock.until('a certificate of the next authority', () => one.current !== before)
    const authority = certificate(secret('controller-ca')['tls.crt'])
    assert.ok(certificate(one.current?.cert).verify(authority.publicKey))
    const follows = () => secret('controller-proxy')['ca.crt'] === authority.toString()
    await clock.until('the proxies to have one too', follows)
    assert.ok(certificate(secret('controller-proxy')['tls.crt']).verify(authority.publicKey))
  })

  for (const [what, spoil, why] of [
    ['a certificate that is none', { 'tls.crt': 'nonsense' }, /tls\.crt holds no certificate in PEM/],
    ['no key', { 'tls.key': undefined }, /tls\.key holds no private key in PEM/],
    [
      'a bundle that is none',
      { 'ca.crt': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
      /ca\.crt holds something else/,
    ],
    ['a certificate of another key', { 'tls.crt': 'proxy' }, /tls\.key is not the key of tls\.crt/],
    ['a pair that is no authority', { 'tls.crt': 'proxy', 'tls.key': 'proxy' }, /no authority that signed itself/],
  ] as const) {
    test(`an authority with ${what} is left alone, and the log says how to mend it`, async () => {
      const first = replica()
      await ready(first)
      first.source.close()
      const { 'tls.key': key = '' } = secret('controller-ca')
      const data: Record<string, string> = {}
      for (const [field, text] of Object.entries({ ...secret('controller-ca'), ...spoil })) {
        if (text !== undefined) data[field] = encoded(text === 'proxy' ? secret('controller-proxy')[field] ?? '' : text)
      }
      server.put(SECRETS, 'default', 'controller-ca', { type: 'kubernetes.io/tls', data })
      const before = writes()
      const one = replica()
      await clock.until('the log to say so', () => one.log.some((line) => why.test(line)))
      assert.match(one.log.join('\n'), /^error .*Secret default\/controller-ca: .*mend it, or delete it and another is made/m)
      assert.ok(!one.log.join('\n').includes(key.slice(30, 60)))
      assert.equal(writes(), before)
      assert.equal(one.current, undefined)
      server.remove(SECRETS, 'default', 'controller-ca')
      await clock.until('certificates', () => one.current !== undefined, { limit: 200_000, step: 1_000 })
    })
  }

  test('a Secret of the proxies that cannot be read is made anew, with what else it holds', async () => {
    const one = replica()
    await ready(one)
    server.put(SECRETS, 'default', 'controller-proxy', {
      metadata: { annotations: { note: 'kept' } }, type: 'kubernetes.io/tls',
      data: { 'tls.crt': encoded('x'), 'tls.key': encoded('y'), more: encoded('z') },
    })
    await passes(0)
    await clock.until('another', () => secret('controller-proxy')['tls.crt'] !== 'x')
    assert.equal(secret('controller-proxy')['more'], 'z')
    assert.equal(server.get(SECRETS, 'default', 'controller-proxy')?.metadata.annotations?.['note'], 'kept')
    const authority = certificate(secret('controller-ca')['tls.crt'])
    assert.ok(certificate(secret('controller-proxy')['tls.crt']).verify(authority.publicKey))
  })

  test('an API server that is away at the start is asked again, and again', async () => {
    let refused = 0
    server.intercept = (_request, response) => {
      if (++refused > 4) return false
      if (refused % 2 === 0) response.destroy()
      else status(response, 503, 'the server is starting')
      return true
    }
    const one = replica()
    await ready(one)
    assert.ok(refused > 4)
    assert.match(one.log[0] ?? '', /trying again.*503 the server is starting/)
  })

  test('without the right to its Secrets it says which it lacks, once', async () => {
    server.intercept = (_request, response) => {
      status(response, 403, 'secrets "controller-ca" is forbidden: User "x" cannot get resource "secrets"')
      return true
    }
    const one = replica()
    await clock.until('some tries', () => server.requests.length >= 5)
    assert.equal(one.log.length, 1)
    assert.match(one.log[0] ?? '', /403 secrets \\"controller-ca\\" is forbidden/)
  })

  test('its own certificate is renewed while the API server is away', async () => {
    const one = replica()
    await ready(one)
    const before = one.current
    server.intercept = (_request, response) => {
      response.destroy()
      return true
    }
    ahead += 61 * DAY
    await clock.until('another certificate', () => one.current !== before, { step: 500 })
    assert.ok(certificate(one.current?.cert).verify(certificate(before?.ca).publicKey))
    server.intercept = undefined
    const theirs = secret('controller-proxy')['tls.crt']
    await clock.until('the proxies to have another', () => secret('controller-proxy')['tls.crt'] !== theirs)
  })

  test('closed while it waits, it lets whoever waits for it go', async () => {
    server.intercept = () => true
    const one = replica()
    one.source.close()
    await clock.until('an end', () => one.failed !== undefined)
    assert.match(String(one.failed), /closed/)
    assert.equal(one.log.length, 0)
  })

  test('no key is ever logged', async () => {
    const one = replica()
    await ready(one)
    await passes(61 * DAY)
    await passes(2434 * DAY)
    const text = one.log.join('\n')
    assert.doesNotMatch(text, /PRIVATE/)
    for (const key of [one.current?.key, secret('controller-ca')['tls.key'], secret('controller-proxy')['tls.key']]) {
      const line = key?.split('\n')[1] ?? ''
      assert.ok(line.length > 40 && !text.includes(line))
    }
  })
})
