import { Latency } from '../../dataplane/upstream/pick/latency.ts'
import { Load } from '../../dataplane/upstream/load/load.ts'
import { createPicker } from '../../dataplane/upstream/pick/create.ts'
import type { Asker, Member } from '../../dataplane/upstream/pick/pick.ts'
import type { Balance } from '../../table/resilience.ts'
import { seeded, type Job } from './random.ts'

/** Balancing in virtual time, with the policies themselves: nothing of it depends on the machine. */
export type World = Readonly<{
  /** How much longer than a job says each server takes for it. */
  servers: readonly number[]
  /** Jobs that a server works on at once; the others wait in order. */
  places: number
  /** Each sees its own requests only, and asks the servers once a second what they have to do. */
  proxies: number
  policy: Balance['policy']
  jobs: readonly Job[]
}>

type Server = { running: number; queue: Running[]; slower: number; size: number }
type Running = { job: Job; begun: number; member: Endpoint; server: Server }
type Endpoint = { -readonly [name in keyof Member]: Member[name] }

const nobody: Asker = { principal: undefined, clientAddress: '', promptKey: undefined, header: () => undefined }
/** Of the longest jobs, this many fill a server's cache. */
const cacheHolds = 4

/** Milliseconds that each job took, from its coming to its end. */
export function simulate({ servers: slower, places, proxies: proxyCount, policy, jobs }: World): number[] {
  const random = seeded(7)
  let now = 0
  const servers = slower.map((factor): Server => ({ running: 0, queue: [], slower: factor, size: 0 }))
  const longest = Math.max(...jobs.map(({ takes }) => takes))
  const proxies = Array.from({ length: proxyCount }, () => ({
    members: servers.map((_, i): Endpoint => ({ inFlight: 0, full: false, label: String(i), zone: undefined, since: 0, latency: undefined, load: undefined })),
    ...createPicker<Endpoint>({ policy }, { turns: new Map(), zone: undefined, random, clock: () => now }),
  }))
  const took: number[] = []
  const events = new Events()

  function begin(running: Running): void {
    const { server, job } = running
    server.running++
    server.size += job.takes
    events.add(now + job.takes * server.slower, () => end(running))
  }

  function end({ job, member, server, begun }: Running): void {
    server.running--
    server.size -= job.takes
    member.inFlight--
    if (policy === 'PeakEWMA') (member.latency ??= new Latency()).observe(now - begun, now)
    took.push(now - begun)
    const next = server.queue.shift()
    if (next !== undefined) begin(next)
  }

  function come(job: Job, at: number): void {
    const proxy = proxies[at % proxyCount]
    const member = proxy?.pick(proxy.members, nobody)
    const server = servers[Number(member?.label)]
    if (member === undefined || server === undefined) return
    member.inFlight++
    const running = { job, begun: now, member, server }
    if (server.running < places) begin(running)
    else server.queue.push(running)
  }

  function report(member: Endpoint): void {
    const server = servers[Number(member.label)]
    if (server === undefined) return
    const load = (member.load ??= new Load())
    load.report({ waiting: server.queue.length, running: server.running, used: server.size / (cacheHolds * longest) }, member.inFlight, now)
  }

  for (const [i, job] of jobs.entries()) events.add(job.at, () => come(job, i))
  const last = jobs.at(-1)?.at ?? 0
  for (const member of proxies.flatMap(({ members }) => members)) {
    // All are asked when the first request comes, and drift apart.
    for (let at = 100 * random(); at < last; at += 900 + 200 * random()) events.add(at, () => report(member))
  }
  for (let next = events.take(); next !== undefined; next = events.take()) {
    now = next.at
    next.run()
  }
  return took
}

type Event = Readonly<{ at: number; run: () => void }>

/** What is to happen, the earliest first: a binary heap. */
class Events {
  readonly #heap: Event[] = []

  add(at: number, run: () => void): void {
    const heap = this.#heap
    let i = heap.push({ at, run }) - 1
    for (let up = (i - 1) >> 1; i > 0 && this.#before(i, up); i = up, up = (i - 1) >> 1) this.#swap(i, up)
  }

  take(): Event | undefined {
    const heap = this.#heap
    const [first] = heap
    const end = heap.pop()
    if (heap.length === 0 || end === undefined) return first
    heap[0] = end
    for (let i = 0; ;) {
      const left = 2 * i + 1
      const least = left + 1 < heap.length && this.#before(left + 1, left) ? left + 1 : left
      if (left >= heap.length || !this.#before(least, i)) return first
      this.#swap(i, least)
      i = least
    }
  }

  #before(a: number, b: number): boolean {
    return (this.#heap[a]?.at ?? 0) < (this.#heap[b]?.at ?? 0)
  }

  #swap(a: number, b: number): void {
    const [one, other] = [this.#heap[a], this.#heap[b]]
    if (one === undefined || other === undefined) return
    this.#heap[a] = other
    this.#heap[b] = one
  }
}
