import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import type { RedisUrl } from './limits/redis/url.ts'

/** One client: a connection, or one to each node of a cluster. What it fails at it does not try again. */
export type Remote = Readonly<{
  /** Runs a script. Rejects where nobody answers, and where the answer is an error. */
  call(script: Readonly<{ text: string; sha: string }>, keys: readonly string[], args: readonly (Buffer | string)[]): Promise<Buffer>
  /** What is kept under a key; undefined: nothing, or something that is none of ours. */
  get(key: string): Promise<Buffer | undefined>
  /** Keeps it for so long, in milliseconds. */
  set(key: string, value: Buffer, ttl: number): Promise<void>
  /** Adds entries with one field, `record`, to a stream that keeps about so many. Rejects unless all of them are in. */
  append(stream: string, records: readonly string[], kept: number): Promise<void>
  /** Resolves once it is known whether there is a server. What is asked before is refused. */
  begun: Promise<void>
  /** Writes a key that is forgotten at once: whether there is somebody who takes writes. */
  probe(key: string): Promise<void>
  /** Which server keys with this tag are on, as far as is known; servers fail one by one. */
  serverOf(tag: string): string
  /** The server of the one connection, as far as is known; empty in a cluster. */
  peer(): string
  /** Ends it; what is not answered is rejected. */
  close(): void
}>

/**
 * ioredis hears the first error of a socket and no other, and TLS can have two: what this end makes of a certificate,
 * and the alert of a server that did not like the end of it. The second would end the process, so every socket that it
 * takes, also those to sentinels and to the nodes of a cluster, is given somebody who hears them all.
 */
const streams = new WeakMap<object, unknown>()
Object.defineProperty(Redis.prototype, 'stream', {
  configurable: true,
  get(this: Redis) {
    return streams.get(this)
  },
  set(this: Redis, stream: unknown) {
    if (stream instanceof Socket) stream.on('error', () => {})
    streams.set(this, stream)
  },
})

/** Connects, and again whenever the connection is lost. @param trouble told of each failure, without secrets */
export function connectRedis(url: RedisUrl, trouble: (error: Error) => void): Remote {
  const client = url.mode === 'cluster' ? clusterOf(url) : new Redis(singleOf(url))
  const begun = Promise.withResolvers<void>()
  client.on('error', (error: Error) => {
    begun.resolve()
    trouble(error)
  })
  client.once('ready', begun.resolve)
  const slots = new Map<string, number>()
  let peer = ''
  client.on('connect', () => {
    const socket = streams.get(client)
    if (socket instanceof Socket) peer = `${socket.remoteAddress}:${socket.remotePort}`
  })

  return {
    async call({ text, sha }, keys, args) {
      try {
        return bytes(await client.callBuffer('evalsha', sha, keys.length, ...keys, ...args))
      } catch (error) {
        // Not run, so it can be sent again: with its text, which Redis keeps from then on.
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
        return bytes(await client.callBuffer('eval', text, keys.length, ...keys, ...args))
      }
    },
    async get(key) {
      try {
        return await client.getBuffer(key) ?? undefined
      } catch (error) {
        // Somebody else's, of another type.
        if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return undefined
        throw error
      }
    },
    async set(key, value, ttl) {
      await client.set(key, value, 'PX', ttl)
    },
    async append(stream, records, kept) {
      const pipeline = client.pipeline()
      for (const record of records) pipeline.xadd(stream, 'MAXLEN', '~', kept, '*', 'record', record)
      for (const [error] of await pipeline.exec() ?? []) if (error !== null) throw error
    },
    begun: begun.promise,
    async probe(key) {
      await client.set(key, '1', 'PX', 1000)
    },
    serverOf(tag) {
      if (!(client instanceof Cluster)) return ''
      let slot = slots.get(tag)
      if (slot === undefined) {
        slot = slotOf(tag)
        slots.set(tag, slot)
      }
      return client.slots[slot]?.[0] ?? ''
    },
    peer: () => peer,
    close: () => client.disconnect(),
  }
}

function bytes(answer: unknown): Buffer {
  if (Buffer.isBuffer(answer)) return answer
  throw new Error('the answer of a script is no string')
}

/** The hash slot of keys with this tag (Redis Cluster specification: CRC-16/XMODEM). */
function slotOf(tag: string): number {
  let crc = 0
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
  }
  return crc & 0x3fff
}

/**
 * Nothing is kept for later, and nothing sent twice: who asked has decided otherwise by then, and a script that was run
 * without its answer arriving must not count again.
 */
function common({ username, password, tls }: RedisUrl) {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls !== undefined && { tls: tlsOptions(tls) }),
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 1000,
    disableClientInfo: true,
    protocol: 2 as const,
    keepAlive: 10_000,
    // What was the master is not any more: the connection is of no use.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
}

function tlsOptions({ ca, cert, key, servername }: NonNullable<RedisUrl['tls']>) {
  return {
    ...(ca !== undefined && { ca: readFileSync(ca) }),
    ...(cert !== undefined && { cert: readFileSync(cert) }),
    ...(key !== undefined && { key: readFileSync(key) }),
    ...(servername !== undefined && { servername }),
  }
}

const soon = () => 100 + Math.random() * 100

function singleOf(url: RedisUrl) {
  const { hosts, mode, database, master, sentinel } = url
  const options: Omit<RedisOptions, 'replyMapping'> = { ...common(url), db: database, enableOfflineQueue: false, retryStrategy: soon }
  if (mode === 'standalone') return { ...options, ...hosts[0] }
  return {
    ...options,
    sentinels: [...hosts],
    name: master,
    sentinelRetryStrategy: soon,
    ...(sentinel.username !== undefined && { sentinelUsername: sentinel.username }),
    ...(sentinel.password !== undefined && { sentinelPassword: sentinel.password }),
    ...(url.tls !== undefined && { enableTLSForSentinelMode: true, sentinelTLS: tlsOptions(url.tls) }),
  }
}

function clusterOf(url: RedisUrl): Cluster {
  return new Cluster([...url.hosts], {
    redisOptions: common(url),
    enableOfflineQueue: false,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    clusterRetryStrategy: soon,
    slotsRefreshInterval: 1000,
    // Names in certificates are names, so that they must not be resolved before.
    ...(url.tls !== undefined && { dnsLookup: (address, done) => done(null, address) }),
  })
}
