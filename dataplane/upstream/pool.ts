import { isIP } from 'node:net'
import type { BackendTls } from '../../table/backend.ts'
import type { Reach } from '../../table/reach.ts'
import { Vault } from '../vault.ts'
import type { Load } from './load/load.ts'
import { guardedLookup, mayReach, AddressRefused } from '../../outgoing/guard.ts'
import { createConnect, type Connect } from './connect.ts'
import { getPage } from './load/page.ts'
import { Http1Pool, intoBuffer } from './http1.ts'
import { Http2Pool } from './http2.ts'
import { lookupFirst, type FollowedName, type NameAddress } from './names.ts'
import { silence, type Silence } from './silence.ts'
import { SecretMissing, tlsTerms, type TlsTerms } from './tls.ts'
import type { Latency } from './pick/latency.ts'
import type { Member } from './pick/pick.ts'

/**
 * Bounds of what one endpoint is given at once in one lane. Every variant of every rule goes in a lane of its own, so that
 * requests for a model that does not answer hold up none for another one of the same server.
 */
export type PoolLimits = Readonly<{
  /** Connections to an endpoint. */
  connections: number
  /** Requests that may wait for one of them; more are refused with `overloaded`. */
  pending: number
  /** When a connection of HTTP/2 is asked whether it is still alive. */
  silence?: Silence
  /** How long a connection of HTTP/2 is kept without a call. Milliseconds. */
  idle?: number
}>

const poolLimits: PoolLimits = { connections: 256, pending: 1024 }

/** Requests that may be repeated, earned by a tenth of those sent; a little to begin with, and never a store of them. */
const retryShare = 0.1
const retriesFirst = 1
const retriesMax = 10

const connectDefault = 10_000
/** Of a page of metrics: vLLM's have a hundred kilobytes. */
const pageLimits = { most: 1_048_576, timeout: 1000 } as const

/** Longer waits than this are one Node timer cannot hold. */
const connectMax = 2_147_483_647

/** Where to connect to, and what a connection there may lead to. */
export type Address = Readonly<{
  /** `http://10.0.0.7:8080` */
  origin: string
  /** Of a URL: its address is checked when connecting. Absent for an endpoint, which is an address already. */
  guard?: Reach
  /** Of a URL whose name leads to several: the one that is meant, and what the name leads to. */
  at?: Readonly<{ first: NameAddress; name: FollowedName }>
  /** Of an endpoint that speaks TLS, and of a URL with terms of its own. */
  tls?: BackendTls | undefined
}>

/** What else is known of an endpoint; two Services may each know a part of it. */
type Place = Readonly<{ zone?: string | undefined; metrics?: number | undefined }>

/**
 * One endpoint as one tenant sees it. Connections are never shared between tenants: a hostile backend could leave an
 * answer on one for whoever comes next (CVE-2026-6733).
 */
export class Upstream implements Member {
  inFlight = 0
  readonly since = performance.now()
  latency: Latency | undefined
  load: Load | undefined
  zone: string | undefined
  /** The port of its metrics, where that is not its own. */
  metrics: number | undefined
  #closed = false
  #retries = retriesFirst
  readonly key: string
  /** `10.0.0.7:8080`; what the log says. */
  readonly label: string
  readonly #address: Address
  readonly #limits: PoolLimits
  readonly #vault: Vault
  /** By lane, and by connect timeout, which belongs to the connection and not to the request. None of what nobody has asked. */
  #pools: Map<number, Http1Pool> | undefined
  #http2: Map<number, Http2Pool> | undefined
  #metrics: Readonly<{ port: number | undefined; host: string; pool: Http1Pool }> | undefined

  constructor(key: string, address: Address, limits: PoolLimits, vault: Vault) {
    this.key = key
    this.#address = address
    this.#vault = vault
    this.#limits = limits
    this.label = labelOf(address)
  }

  get address(): Address {
    return this.#address
  }

  /** It has so many requests that some lane may be full. */
  get full(): boolean {
    return this.inFlight >= this.#limits.connections + this.#limits.pending
  }

  /** As many requests of this lane wait for a connection as may. */
  fullIn(lane: number): boolean {
    if (!this.full) return false
    for (const pools of [this.#pools, this.#http2]) {
      for (const [key, { waiting }] of pools ?? []) if (laneOf(key) === lane && waiting >= this.#limits.pending) return true
    }
    return false
  }

  pool(connectTimeout: number | undefined, lane: number): Http1Pool {
    const timeout = Math.min(connectTimeout ?? connectDefault, connectMax)
    const key = keyOf(lane, timeout)
    let pool = this.#pools?.get(key)
    if (pool === undefined) {
      pool = http1Pool(this.#address, this.#limits.connections, timeout, this.#vault)
      this.#pools ??= new Map()
      this.#pools.set(key, pool)
    }
    return pool
  }

  http2(connectTimeout: number | undefined, lane: number): Http2Pool {
    const timeout = Math.min(connectTimeout ?? connectDefault, connectMax)
    const key = keyOf(lane, timeout)
    let pool = this.#http2?.get(key)
    if (pool === undefined) {
      const connect = createConnector(timeout, this.#address, this.#vault, { allowH2: true })
      pool = new Http2Pool(this.#address.origin, timeout, this.#limits.connections, this.#limits.silence ?? silence, connect, this.#limits.idle)
      this.#http2 ??= new Map()
      this.#http2.set(key, pool)
    }
    return pool
  }

  /** A connection that no request has: for a question of the gateway's own. */
  aside(http2: boolean, timeout: number): Http1Pool | Http2Pool {
    if (!http2) return http1Pool(this.#address, 1, timeout, this.#vault)
    const connect = createConnector(timeout, this.#address, this.#vault, { allowH2: true })
    return new Http2Pool(this.#address.origin, timeout, 1, silence, connect)
  }

  /** Nobody goes in this lane any more; what is in flight there is finished. */
  closeLane(lane: number): void {
    for (const pools of [this.#pools, this.#http2]) {
      for (const [key, pool] of pools ?? []) {
        if (laneOf(key) !== lane) continue
        pools?.delete(key)
        void pool.close()
      }
    }
  }

  /** Its page of metrics: plain where it has a port of its own, else as it serves. Undefined: it gives none. */
  metricsPage(): Promise<string | undefined> {
    if (this.#metrics === undefined || this.#metrics.port !== this.metrics) {
      this.#metrics?.pool.close()
      const address = this.metrics === undefined ? this.#address : { origin: `http://${hostOf(this.#address.origin)}:${this.metrics}` }
      this.#metrics = { port: this.metrics, host: new URL(address.origin).host, pool: http1Pool(address, 1, pageLimits.timeout, this.#vault) }
    }
    const { host, pool } = this.#metrics
    return getPage(pool, { host, path: '/metrics' }, pageLimits)
  }

  /** For connections that are no pool's; undefined where there is nothing special about them. */
  tlsTerms(): TlsTerms | undefined {
    const { tls } = this.#address
    return tls && tlsTerms(tls, this.#vault)
  }

  begin(): void {
    this.inFlight++
    this.#retries = Math.min(this.#retries + retryShare, retriesMax)
  }

  /** Whether one more request may be repeated: one of ten, so that a backend in trouble is not given more to do. */
  spendRetry(): boolean {
    if (this.#retries < 1) return false
    this.#retries--
    return true
  }

  end(): void {
    this.inFlight--
    if (this.#closed && this.inFlight === 0) this.#closePools()
  }

  /**
   * For an endpoint that is in no table any more. What is in flight is finished; a request of the table before, if it
   * still comes, is served too.
   */
  close(): void {
    this.#closed = true
    this.#closePools()
  }

  #closePools(): void {
    for (const pool of this.#pools?.values() ?? []) pool.close()
    this.#pools = undefined
    this.#metrics?.pool.close()
    this.#metrics = undefined
    for (const pool of this.#http2?.values() ?? []) void pool.close()
    this.#http2 = undefined
  }

  async destroy(): Promise<void> {
    for (const pool of this.#pools?.values() ?? []) pool.destroy()
    this.#metrics?.pool.destroy()
    await Promise.all([...this.#http2?.values() ?? []].map((pool) => pool.destroy()))
  }
}

/** Both in one number: lanes are counted from zero, and a timeout is shorter than 2^31. */
const keyOf = (lane: number, timeout: number) => lane * laneWidth + timeout
const laneOf = (key: number) => Math.floor(key / laneWidth)
const laneWidth = 2 ** 31

/** Of a URL whose name leads to several, the one that is meant. */
function labelOf({ origin, at }: Address): string {
  const { host, port, protocol } = new URL(origin)
  if (at === undefined) return host
  const { address, family } = at.first
  return `${family === 6 ? `[${address}]` : address}:${port || (protocol === 'https:' ? 443 : 80)}`
}

/** With its brackets, where it has some. */
const hostOf = (origin: string): string => new URL(origin).hostname

type More = Readonly<{ allowH2: boolean; onread?: typeof intoBuffer }>

function http1Pool(address: Address, connections: number, timeout: number, vault: Vault): Http1Pool {
  // Under TLS it would be given what is encrypted.
  const plain = address.origin.startsWith('http:')
  return new Http1Pool(address.origin, connections, createConnector(timeout, address, vault, { allowH2: false, ...(plain && { onread: intoBuffer }) }))
}

/** @param more what else every connection begins with */
function createConnector(timeout: number, { guard, at, tls }: Address, vault: Vault, more: More): Connect {
  const lookup = guard && guardedLookup(guard, at && lookupFirst(at.first, at.name))
  const base = { timeout, ...more, ...(lookup && { lookup }) }
  const plain = tls === undefined ? createConnect(base) : undefined
  const connectorOf = (): Connect | undefined => {
    const terms = tls && tlsTerms(tls, vault)
    return plain ?? (terms && createConnect({ ...base, tls: terms }))
  }
  return (options, callback) => {
    const host = options.hostname.replace(/^\[|\]$/g, '')
    if (guard && isIP(host) !== 0 && !mayReach(host, guard)) {
      callback(new AddressRefused(`${host} is an address that a URL may not lead to`), null)
      return
    }
    const connect = connectorOf()
    if (connect === undefined) callback(new SecretMissing('a secret of this backend has not arrived'), null)
    else connect(options, callback)
  }
}

/** All endpoints in use, by tenant and address. They outlive the table: a swap must not cost a connection. */
export class Upstreams {
  readonly #limits: PoolLimits
  readonly #live = new Map<string, { upstream: Upstream; holders: number }>()
  readonly vault: Vault

  constructor(limits: PoolLimits = poolLimits, vault = new Vault()) {
    this.#limits = limits
    this.vault = vault
  }

  get size(): number {
    return this.#live.size
  }

  /** The endpoint, held until it is released as often. */
  hold(tenant: string, address: Address, { zone, metrics }: Place = {}): Upstream {
    const key = `${tenant} ${address.origin} ${address.guard ? `url ${address.guard.loopback} ${address.guard.private}` : ''} ${address.at?.first.address ?? ''} ${address.tls ? JSON.stringify(address.tls) : ''}`
    let held = this.#live.get(key)
    if (held === undefined) {
      held = { upstream: new Upstream(key, address, this.#limits, this.vault), holders: 0 }
      this.#live.set(key, held)
    }
    held.holders++
    if (zone !== undefined) held.upstream.zone = zone
    if (metrics !== undefined) held.upstream.metrics = metrics
    return held.upstream
  }

  release(upstream: Upstream): void {
    const held = this.#live.get(upstream.key)
    if (held === undefined || --held.holders > 0) return
    this.#live.delete(upstream.key)
    upstream.close()
  }

  async destroy(): Promise<void> {
    const all = [...this.#live.values()]
    this.#live.clear()
    await Promise.all(all.map(({ upstream }) => upstream.destroy()))
  }
}
