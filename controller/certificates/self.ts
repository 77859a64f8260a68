import { X509Certificate } from 'node:crypto'
import type { Api } from '../kubernetes/api.ts'
import type { Log } from '../log.ts'
import { backoff } from '../kubernetes/backoff.ts'
import { sleep, systemClock, type Clock } from '../kubernetes/clock.ts'
import { callerOf } from '../push/caller.ts'
import type { CredentialSource, Credentials } from '../push/credentials.ts'
import { keepAuthority, type Authority } from './authority.ts'
import { loadIssue } from './load.ts'
import { isDue, type Kept, type Pair } from './pair.ts'
import { keepLeaf } from './leaf.ts'

export type SelfOptions = Readonly<{
  api: Api
  /** The DNS name that proxies dial: `modelroute-controller.modelroute.svc`. Its first label names the Secrets. */
  host: string
  /** Namespaces whose pods may have sidecars: each gets a Secret with a certificate for them. */
  sidecars?: readonly string[] | undefined
  log: Log
  clock?: Clock
}>

/** Between two looks at the Secrets: how long a change by another replica, or by hand, goes unseen. Milliseconds. */
const LOOK = 60_000

/** Every name under which the push port may be dialled from inside the cluster. */
export function namesOf(host: string): readonly string[] {
  const [, name, namespace] = /^([^.]+)\.([^.]+)\.svc(\..+)?$/.exec(host) ?? []
  if (name === undefined || namespace === undefined) return [host]
  const service = `${name}.${namespace}.svc`
  return [...new Set([host, service, `${service}.cluster.local`, `${name}.${namespace}`, name])]
}

/** What proxies answer to where sidecars dial them: beside the controller's name, and never that. */
const proxyNameOf = (host: string) => host.replace(/^[^.]+/, '$&-proxy')

/**
 * Certificates without anybody's help: an authority and the proxies' certificate in Secrets of the controller's own
 * namespace, and a certificate of this replica's own in memory. What cannot be had now is tried again for ever.
 */
export function selfCertificates({ api, host, sidecars = [], log, clock = systemClock }: SelfOptions): CredentialSource {
  const stop = new AbortController()
  const { signal } = stop
  const label = host.split('.')[0] ?? host
  const names = namesOf(host)
  let authority: Authority | undefined
  let server: Readonly<{ pair: Pair; certificate: X509Certificate }> | undefined
  let current: Credentials | undefined
  let told: string | undefined

  function said(what: string, secret: string, namespace = api.namespace) {
    return (how: 'created' | 'renewed', until?: Date) =>
      log('info', `${what} ${how}`, {
        secret: `${namespace}/${secret}`,
        ...(until && { until: until.toISOString() }),
      })
  }

  /** A certificate of the authority's, as long as there is one: also while the API server is away. */
  async function serve(by: Authority): Promise<Credentials> {
    const now = clock.date()
    if (!server?.certificate.verify(by.certificate.publicKey) || isDue(server.certificate, now)) {
      const pair = await (await loadIssue()).issueServer(by, names, now)
      server = { pair, certificate: new X509Certificate(pair.cert) }
      log('info', 'certificate of the push port issued', { names, until: server.certificate.validToDate.toISOString() })
    }
    const { cert, key } = server.pair
    return current?.cert === cert && current.ca === by.trusted ? current : { cert, key, ca: by.trusted }
  }

  async function look(onCurrent: (next: Credentials) => void): Promise<Kept<undefined>> {
    const secret = `${label}-ca`
    const dated = { name: label, now: clock.date() }
    const kept = await keepAuthority(
      { api, name: secret, signal },
      { ...dated, said: said('authority of the push channel', secret) },
    )
    if ('value' in kept) authority = kept.value
    if (authority === undefined || signal.aborted) return 'value' in kept ? { value: undefined } : kept
    const next = await serve(authority)
    if (next !== current) onCurrent((current = next))
    if ('problem' in kept) return kept
    const by = authority
    const { now } = dated
    const proxies = `${label}-proxy`
    const name = proxyNameOf(host)
    const problems = [await keepLeaf({ api, name: proxies, signal }, by, {
      now, said: said('certificate of the proxies', proxies),
      issue: async () => (await loadIssue()).issueProxy(by, label, name, now),
      fits: (certificate) => certificate.checkHost(name) !== undefined,
    })]
    for (const namespace of sidecars) problems.push(await keepSidecars(by, namespace, now))
    const why = problems.flatMap((one) => ('problem' in one ? [one.problem] : []))
    return why.length === 0 ? { value: undefined } : { problem: why.join('; ') }
  }

  /** One namespace that is not there, or not opened to the controller, keeps nothing from the others. */
  function keepSidecars(by: Authority, namespace: string, now: Date): Promise<Kept<undefined>> {
    const secret = `${label}-sidecar`
    return keepLeaf({ api, name: secret, namespace, signal }, by, {
      now, said: said('certificate of sidecars', secret, namespace),
      issue: async () => (await loadIssue()).issueSidecar(by, label, namespace, now),
      fits(certificate) {
        const caller = callerOf(certificate)
        return caller.kind === 'sidecar' && caller.namespace === namespace
      },
    })
  }

  async function keep(onCurrent: (next: Credentials) => void): Promise<void> {
    let failures = 0
    while (!signal.aborted) {
      const kept = await look(onCurrent).catch((bug: unknown) => ({ problem: String(bug) }))
      const problem = 'problem' in kept ? kept.problem : undefined
      failures = problem === undefined ? 0 : failures + 1
      if (problem !== undefined && problem !== told && !signal.aborted) {
        log('error', 'certificates of the push channel: trying again', { why: problem, serving: current !== undefined })
      }
      told = problem
      await sleep(clock, problem === undefined ? LOOK : backoff(failures, LOOK), signal)
    }
  }

  return {
    mutual: true,
    start: (onChange) =>
      new Promise((resolve, reject) => {
        let first = true
        signal.addEventListener('abort', () => reject(new Error('closed before there were certificates')))
        void keep((next) => {
          if (!first) return onChange(next)
          first = false
          resolve(next)
        })
      }),
    close: () => stop.abort(),
  }
}
