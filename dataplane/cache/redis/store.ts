import type { Remote } from '../../redis.ts'
import { nameOf, numbered, type Purge, type Shared } from '../shared.ts'
import { Circuit } from './circuit.ts'
import { decode, encode } from './codec.ts'
import { heardScript, purgesKey, purgesOf, purgeScript } from './purges.ts'
import { Vectors } from './vectors.ts'

export type AnswersOptions = Readonly<{
  /** A new client. */
  connect: () => Remote
  /** How long a request waits for it, once. Milliseconds. */
  patience: number
  say: (level: 'info' | 'warn', message: string, fields?: Readonly<Record<string, unknown>>) => void
}>

/** Larger ones stay where they were answered: they could not be had in the time that anybody waits. Bytes. */
const entryMax = 262_144
/** On their way to the store at once. Bytes. */
const writingMax = 16_777_216
/** How often the purges of others are asked for. Milliseconds. */
const listenEvery = 500
/** After how long a client that gets nowhere is replaced by a new one. Milliseconds. */
const stubborn = 600

/** Answers that all proxies share, in Redis. It is asked nothing before the purges are known: what was purged is under keys that nobody asks for. */
export function createAnswers({ connect, patience, say }: AnswersOptions): Shared {
  let remote: Remote | undefined
  let since = performance.now()
  let last = '0'
  let writing = 0
  /** It has no room for more. */
  let full = false
  let told: (purges: ReadonlyMap<string, number>) => void = () => {}
  /** Purges of this process that the store has not heard of. */
  const pending = new Map<string, number>()
  const vectors = new Vectors((message) => say('info', message))
  let timer: NodeJS.Timeout | undefined
  let circuit: Circuit | undefined
  let known: ReadonlyMap<string, number> = new Map()

  /** Hears what others purged, and says what was purged here. Rejects where nobody answers. */
  async function hear(client: Remote): Promise<void> {
    for (const [name, number] of pending) {
      await client.call(purgeScript, [purgesKey], [name, String(number)])
      if (pending.get(name) === number) pending.delete(name)
    }
    const text = (await client.call(heardScript, [purgesKey], [last])).toString()
    full = text.startsWith('1')
    if (text.length === 1) return
    const heard = purgesOf(text.slice(1))
    if (heard === undefined) throw new Error('the list of purges cannot be read')
    // A store that lost them is told again.
    const all = heard.purges.get('all') ?? 0
    for (const [name, number] of known) if (Math.max(heard.purges.get(name) ?? 0, all) < number) pending.set(name, number)
    last = String(heard.last)
    known = heard.purges
    told(known)
  }

  async function probe(): Promise<void> {
    if (remote === undefined || performance.now() - since > stubborn) {
      remote?.close()
      remote = connect()
      since = performance.now()
    }
    const client = remote
    // One that never answers must not be waited for, and a client is not given up for one late answer.
    await new Promise<void>((resolve, reject) => {
      setTimeout(() => reject(new Error('too late')), stubborn).unref()
      hear(client).then(resolve, reject)
    })
    since = performance.now()
  }

  function unkept(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error)
    if (why.startsWith('OOM')) full = true
    else circuit?.fail(why)
  }

  return {
    follow(listener) {
      told = listener
      if (circuit !== undefined) return
      const made = circuit = new Circuit({
        patience, probe,
        changed(open, why) {
          if (open) say('warn', 'the store of answers is out of reach; each proxy keeps its own', { why })
          else say('info', 'the store of answers is there')
        },
      })
      timer = setInterval(() => {
        const client = remote
        if (made.open || client === undefined) return
        void made.ask(() => hear(client))
        since = performance.now()
      }, listenEvery)
      timer.unref()
    },
    find(tenant, key, mark) {
      const client = remote
      if (client === undefined) return undefined
      const asked = circuit?.ask(() => client.get(placeOf(tenant, key, mark)))
      return asked?.then((bytes) => bytes && decode(bytes, numbered(key, mark), mark))
    },
    keep(tenant, key, mark, item, ttl) {
      if (circuit === undefined || circuit.open || full || remote === undefined || ttl < 1) return
      if (item.kind === 'entry' && item.entry.body.length > entryMax) return
      const bytes = encode(numbered(key, mark), item)
      if (writing + bytes.length > writingMax) return
      writing += bytes.length
      void remote.set(placeOf(tenant, key, mark), bytes, Math.floor(ttl))
        .catch(unkept)
        .finally(() => { writing -= bytes.length })
    },
    nearest(tenant, mark, { partition, vector }) {
      const client = remote
      if (client === undefined || vectors.lacking) return undefined
      return circuit?.ask(() => vectors.nearest(client, textsOf(tenant, partition, mark), vector))
    },
    place(tenant, mark, place, key, ttl) {
      if (circuit === undefined || circuit.open || full || remote === undefined || vectors.lacking || ttl < 1) return
      const size = place.vector.byteLength
      if (writing + size > writingMax) return
      writing += size
      void vectors.place(remote, textsOf(tenant, place.partition, mark), place, key, ttl)
        .catch(unkept)
        .finally(() => { writing -= size })
    },
    purge(purge: Purge, number: number) {
      pending.set(nameOf(purge), number)
      const client = remote
      if (client === undefined || circuit === undefined) return Promise.resolve(false)
      return (circuit.ask(() => hear(client).then(() => true)) ?? Promise.resolve(false)).then((heard) => heard === true)
    },
    close() {
      clearInterval(timer)
      circuit?.close()
      remote?.close()
    },
  }
}

/** All answers of a tenant are on one server of Redis Cluster, as its counts are. */
const placeOf = (tenant: string, key: string, mark: number) => `modelroute:{${tenant}}:answer:${digits(key, mark)}`
const textsOf = (tenant: string, partition: string, mark: number) => `modelroute:{${tenant}}:texts:${digits(partition, mark)}`
const digits = (key: string, mark: number) => Buffer.from(numbered(key, mark), 'latin1').toString('base64url')
