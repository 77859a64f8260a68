import type { BackendCredentials } from '../../table/backend.ts'
import type { ActiveHealth, ServedModel } from '../../table/resilience.ts'
import type { Proof } from '../filters/backend_credentials/proof.ts'
import type { Upstream } from '../upstream/pool.ts'
import { ask } from './ask.ts'
import { questionOf } from './question.ts'

/** What the endpoints of a variant are asked, and how. */
export type CheckTerms = Readonly<{
  tenant: string
  active: ActiveHealth
  /** Of type Model. */
  served: ServedModel | undefined
  /** Host to say, where it is not the endpoint's. */
  host: string | undefined
  credentials: BackendCredentials | undefined
}>

/** What an endpoint is by its answers. `unknown`: it has not been asked yet. */
export interface Check {
  readonly key: string
  readonly state: 'unknown' | 'healthy' | 'unhealthy'
  /** What was wrong with its last answer; empty: nothing. */
  readonly why: string
  /** How often it has become healthy. */
  readonly recoveries: number
}

export type ChecksDeps = Readonly<{
  /** Proves the gateway to a backend. */
  proof(tenant: string, credentials: BackendCredentials): Proof | Promise<Proof>
  onChange(change: Readonly<{ tenant: string; endpoint: string; healthy: boolean; why: string }>): void
  /** Asks once: why the endpoint is not fit. */
  ask?: (upstream: Upstream, terms: CheckTerms, headers: string[]) => Promise<string | undefined>
}>

/** Questions of one tenant under way at once: nobody's dead endpoints keep those of others from being asked. */
const atOnceMax = 32
/** Part of an interval by which the times of questions are spread. */
const jitter = 0.1

type Entry = {
  readonly key: string
  readonly upstream: Upstream
  readonly terms: CheckTerms
  readonly listeners: Set<() => void>
  state: Check['state']
  why: string
  recoveries: number
  /** Answers of the other kind than the state says, in a row. */
  against: number
  timer: NodeJS.Timeout | undefined
}

type Tenant = { asking: number; readonly waiting: Entry[] }

/** The checks in use: each endpoint is asked a question once an interval, however many rules want to know. */
export class Checks {
  readonly #deps: ChecksDeps
  readonly #byKey = new Map<string, Entry>()
  readonly #tenants = new Map<string, Tenant>()

  constructor(deps: ChecksDeps) {
    this.#deps = deps
  }

  get size(): number {
    return this.#byKey.size
  }

  /** @param changed called when its state does, until it is released with it */
  hold(upstream: Upstream, terms: CheckTerms, changed: () => void): Check {
    const key = `${upstream.key} ${JSON.stringify(terms)}`
    let entry = this.#byKey.get(key)
    if (entry === undefined) {
      entry = { key, upstream, terms, listeners: new Set(), state: 'unknown', why: '', recoveries: 0, against: 0, timer: undefined }
      this.#byKey.set(key, entry)
      this.#line(terms.tenant).waiting.push(entry)
      // Not before who holds it has it.
      setImmediate(() => this.#askOn(terms.tenant))
    }
    entry.listeners.add(changed)
    return entry
  }

  release(check: Check, changed: () => void): void {
    const entry = this.#byKey.get(check.key)
    if (entry !== check) return
    entry.listeners.delete(changed)
    if (entry.listeners.size > 0) return
    clearTimeout(entry.timer)
    this.#byKey.delete(entry.key)
  }

  close(): void {
    for (const { timer } of this.#byKey.values()) clearTimeout(timer)
    this.#byKey.clear()
    this.#tenants.clear()
  }

  #line(tenant: string): Tenant {
    const line = this.#tenants.get(tenant) ?? { asking: 0, waiting: [] }
    this.#tenants.set(tenant, line)
    return line
  }

  #askOn(tenant: string): void {
    const line = this.#line(tenant)
    while (line.asking < atOnceMax && line.waiting.length > 0) {
      const entry = line.waiting.shift()
      if (entry === undefined || !this.#live(entry)) continue
      line.asking++
      void this.#ask(entry).then((fault) => {
        line.asking--
        if (this.#live(entry)) this.#take(entry, fault)
        this.#askOn(tenant)
      })
    }
    if (line.asking === 0 && line.waiting.length === 0) this.#tenants.delete(tenant)
  }

  #live(entry: Entry): boolean {
    return this.#byKey.get(entry.key) === entry
  }

  async #ask({ upstream, terms }: Entry): Promise<string | undefined> {
    const { tenant, credentials, host } = terms
    const headers = ['host', host ?? upstream.label, 'user-agent', 'modelroute']
    if (credentials !== undefined) {
      const proof = await this.#deps.proof(tenant, credentials)
      if ('why' in proof) return proof.why
      headers.push(proof.header, proof.value)
    }
    return (this.#deps.ask ?? askOnce)(upstream, terms, headers)
  }

  #take(entry: Entry, fault: string | undefined): void {
    const { active: { interval }, tenant } = entry.terms
    entry.why = fault ?? ''
    const good = fault === undefined
    if (entry.state === (good ? 'healthy' : 'unhealthy')) entry.against = 0
    else this.#turn(entry, good)
    entry.timer = setTimeout(() => {
      this.#line(tenant).waiting.push(entry)
      this.#askOn(tenant)
    }, interval * (1 - jitter + 2 * jitter * Math.random())).unref()
  }

  /** It answered otherwise than before. The first answer decides alone. */
  #turn(entry: Entry, good: boolean): void {
    const { active: { healthy, unhealthy }, tenant } = entry.terms
    const first = entry.state === 'unknown'
    if (++entry.against < (first ? 1 : good ? healthy : unhealthy)) return
    entry.against = 0
    entry.state = good ? 'healthy' : 'unhealthy'
    if (good) entry.recoveries++
    if (!(first && good)) this.#deps.onChange({ tenant, endpoint: entry.upstream.label, healthy: good, why: entry.why })
    for (const changed of entry.listeners) changed()
  }
}

function askOnce(upstream: Upstream, { active, served }: CheckTerms, headers: string[]): Promise<string | undefined> {
  const question = questionOf(active, served)
  return ask(upstream.aside(question.http2, active.timeout), question, headers, active.timeout)
}
