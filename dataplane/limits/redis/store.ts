import { randomBytes } from 'node:crypto'
import type { Remote } from '../../redis.ts'
import type { Decision, Take } from '../limiter.ts'
import { Memory, Outage } from './failure.ts'
import { applyFrame, type Operation } from './frames.ts'
import { Lane } from './lane.ts'
import { Questions, type Line } from './questions.ts'
import { BATCH, Reservations } from './reservations.ts'
import { applyScript, presentScript } from './script.ts'

export type StoreOptions = Readonly<{
  /** A new client. */
  connect: () => Remote
  /** How long a request waits for a server that says nothing, on a machine that is not busy; and how fast one that was given up must answer to be asked again. Milliseconds. */
  patience: number
  /** Proxies of one fleet divide limits among them when the store is away. */
  fleet: string
  say: (level: 'info' | 'warn', message: string, fields?: Readonly<Record<string, unknown>>) => void
}>

/** Counts that all proxies share, in Redis. */
export type Store = Readonly<{
  take(tenant: string, takes: readonly Take[]): Decision | Promise<Decision>
  /** Waits until it answers, or does not for so long. */
  ready(within: number): Promise<boolean>
  close(): Promise<void>
}>

/** How often this proxy says that it is there, and after how long it is taken for gone. Milliseconds. */
const PRESENT = 2000
const GONE = 7000
/** How often a server that was given up is asked. */
const PROBE = 100
/** After how long a client that gets nowhere is replaced by a new one. */
const STUBBORN = 600
/**
 * How long a server that answers again is told what was taken before it is asked: the other proxies tell it theirs. Who
 * asked at once would be given what they have taken.
 */
const TOGETHER = 1000
/** How long a replaced client is kept for the answers that may still come. */
const LATE = 5000
/** How long the end waits for what is still to be told. */
const FAREWELL = 500

const pause = (ms: number) => new Promise<void>((resolve) => {
  setTimeout(resolve, ms).unref()
})

/** All counts of a tenant have one tag, so that Redis Cluster keeps them on one server and a request is one step there. */
const keyOf = (tenant: string, key: string) => `modelroute:{${tenant}}:${key}`

export function createStore({ connect, patience, fleet, say }: StoreOptions): Store {
  const self = randomBytes(9).toString('base64url')
  const life = { closed: false }
  let remote = connect()
  let sequence = 0
  let proxies = 1
  const nextSequence = () => ++sequence
  const memory = new Memory()
  const lines = new Map<string, Line>()
  /** Lines that were given up, by tenants that had them: whoever has their counts now is told what was taken before it is asked. */
  const away = new Map<string, Line>()
  const questions = new Map<string, Questions>()
  const clients = new Set([remote])
  const reservations = new Reservations(apply, (tenant) => lineOf(tenant).outage === undefined)

  function lineOf(tenant: string): Line {
    const gone = away.size > 0 ? away.get(tenant) : undefined
    if (gone !== undefined) return gone
    const server = remote.serverOf(tenant)
    let line = lines.get(server)
    if (line === undefined) {
      const made: Line = { server, outage: undefined, doubts: new Set(), lane: new Lane({ patience, trip: (why) => lose(made, tenant, why) }) }
      line = made
      lines.set(server, line)
    }
    return line
  }

  function questionsOf(tenant: string): Questions {
    let found = questions.get(tenant)
    if (found === undefined) {
      found = new Questions({
        tenant, self, reservations, nextSequence,
        line: () => lineOf(tenant),
        call: (...call) => remote.call(...call),
        keyOf: (key) => keyOf(tenant, key),
        heard({ key, onStoreFailure, algorithm }, { remaining, resetAfter }) {
          if (onStoreFailure === 'Local' && algorithm.type !== 'Concurrency') memory.set(key, { remaining, until: Date.now() + resetAfter })
        },
      })
      questions.set(tenant, found)
    }
    return found
  }

  /** A server is given up. The cluster may have given its keys to another one already, so that it is not looked up. @param tenant one of its */
  function lose(line: Line, tenant: string, why: string): void {
    const { server } = line
    if (!life.closed) say('warn', 'the limit store is out of reach; limits decide by onStoreFailure', { server, why })
    const outage = new Outage({
      memory, now: Date.now,
      proxies: () => proxies,
      nextId: () => `${self}${nextSequence().toString(36)}`,
      adopt: (one) => reservations.add(one),
      settle: (one, actual) => reservations.settle(one, actual),
    })
    line.outage = outage
    away.set(tenant, line)
    for (const [other, asked] of questions) {
      if (asked.line !== line) continue
      away.set(other, line)
      asked.giveUp(outage)
    }
    void recover(line, tenant)
  }

  async function apply(tenant: string, operations: readonly Operation[]): Promise<readonly number[] | undefined> {
    const { lane } = lineOf(tenant)
    const keys = operations.flatMap(({ key }) => [keyOf(tenant, key), `${keyOf(tenant, key)}:held`])
    const waiting = lane.add(() => {})
    try {
      const answer = await remote.call(applyScript, keys, [applyFrame(operations, 0), ...operations.map(({ id }) => id)])
      lane.remove(waiting, true)
      return operations.map((_, i) => answer.readDoubleLE(i * 8))
    } catch {
      lane.remove(waiting, false)
      return undefined
    }
  }

  async function applyAll(tenant: string, operations: readonly Operation[]): Promise<void> {
    for (let at = 0; at < operations.length; at += BATCH) await apply(tenant, operations.slice(at, at + BATCH))
  }

  /** Asks a server that was given up until it answers quickly, over a new client each time the last gets nowhere. */
  async function recover(line: Line, tenant: string): Promise<void> {
    const peer = remote.peer()
    let candidate = open()
    let since = performance.now()
    while (!life.closed) {
      await pause(PROBE)
      const asked = performance.now()
      const answered = await answers(candidate, tenant)
      if (!life.closed && answered && performance.now() - asked <= patience) {
        const last = remote
        setTimeout(() => end(last), LATE).unref()
        remote = candidate
        await reconcile(line, candidate.serverOf(tenant) !== line.server || candidate.peer() !== peer)
        return
      }
      if (performance.now() - since > STUBBORN) {
        end(candidate)
        candidate = open()
        since = performance.now()
      }
    }
    end(candidate)
  }

  const answers = (client: Remote, tenant: string) => Promise.race([
    client.probe(keyOf(tenant, 'probe')).then(() => true, () => false),
    pause(STUBBORN).then(() => false),
  ])

  function open(): Remote {
    const client = connect()
    clients.add(client)
    return client
  }

  function end(client: Remote): void {
    clients.delete(client)
    client.close()
  }

  /** What was decided meanwhile is told, and the server is asked again. @param another whether it is not the one that was given up */
  async function reconcile(line: Line, another: boolean): Promise<void> {
    const { outage, server } = line
    if (outage?.counted === true) {
      for (const [tenant, operations] of outage.report()) void applyAll(tenant, operations)
      await pause(TOGETHER)
      if (life.closed) return
    }
    // What the last one was asked and did not answer, it had hardly passed on to the next before its end.
    if (!another) for (const hold of line.doubts) hold.replace([])
    line.doubts.clear()
    const told = outage?.end() ?? new Map<string, Operation[]>()
    line.outage = undefined
    line.lane.open = false
    for (const [tenant, gone] of away) if (gone === line) away.delete(tenant)
    for (const [tenant, operations] of told) void applyAll(tenant, operations)
    reservations.flush()
    say('info', 'the limit store answers again', { server })
    await reservations.renew(performance.now())
  }

  async function present(lease = GONE): Promise<void> {
    const tag = `proxies ${fleet}`
    if (lineOf(tag).outage !== undefined) return
    try {
      proxies = Math.max(1, (await remote.call(presentScript, [keyOf(tag, '')], [String(lease), self])).readDoubleLE(0))
    } catch {
      // The next request finds out for itself.
    }
  }

  const timer = setInterval(() => void present(), PRESENT)
  timer.unref()

  return {
    take(tenant, takes) {
      const { outage } = lineOf(tenant)
      return outage === undefined ? questionsOf(tenant).ask(takes) : outage.decide(tenant, takes).decision
    },
    async ready(within) {
      const end = performance.now() + within
      while (!await answers(remote, 'ready')) {
        if (performance.now() > end) return false
        await pause(20)
      }
      await present()
      return true
    },
    async close() {
      life.closed = true
      clearInterval(timer)
      await Promise.race([Promise.all([reservations.close(), present(0)]), pause(FAREWELL)])
      for (const { lane } of lines.values()) lane.close()
      for (const client of clients) client.close()
    },
  }
}
