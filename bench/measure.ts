import type { Peer } from './peers.ts'
import { cpuOf, rssOf } from './processes.ts'
import { median, type Figures, type Row } from './report.ts'
import { usualBody, type Job, type Result, type Rig } from './rig.ts'

type Probe = Readonly<{ result: Result; cpu: number; rss: number }>

export const works = ['requests', 'open', 'events', 'bodies'] as const

export type Plan = Readonly<{
  work: readonly string[]
  rounds: number
  /** Of a round in which a proxy is given all that it can take. */
  seconds: number
  say: (part: string, rows: readonly Row[]) => void
}>

const mib = 1 << 20

export async function measure(peers: readonly Peer[], rig: Rig, plan: Plan): Promise<void> {
  const { rounds, seconds } = plan
  const figures = new Map<Peer, Figures>()
  for (const peer of peers) figures.set(peer, { idle: await rssOf(peer.pid) })
  const set = (peer: Peer, more: Figures) => figures.set(peer, { ...figures.get(peer), ...more })
  const idleOf = (peer: Peer) => figures.get(peer)?.idle ?? 0
  // What is compared in streaming are proxies, not what they do on the way.
  const streaming = peers.filter(({ call, name }) => call.body === undefined && !['naive', 'on', 'many', 'logged'].includes(name))

  /** One job against one proxy: what it did, what it cost (µs of CPU), how large it grew (MiB). */
  async function probe(peer: Peer, job: Job): Promise<Probe> {
    const before = peer.pid === 0 ? 0 : await cpuOf(peer.pid)
    let rss = 0
    const look = async () => { rss = Math.max(rss, await rssOf(peer.pid)) }
    const watch = setInterval(() => void look(), 200)
    const result = await rig.run(job)
    clearInterval(watch)
    const cpu = peer.pid === 0 ? 0 : await cpuOf(peer.pid) - before
    await look()
    return { result, cpu, rss }
  }

  const calling = (peer: Peer) => ({ port: peer.port, body: usualBody, ...peer.call })
  const flood = (peer: Peer, ms: number) => probe(peer, { kind: 'closed', ...calling(peer), connections: 32, ms })

  let warm = false
  /** For the compilers of those that have one. */
  async function warmUp(): Promise<void> {
    if (!warm) await interleaved(peers, 1, (peer) => flood(peer, 3000))
    warm = true
  }

  async function requests(): Promise<void> {
    await warmUp()
    for (const [peer, probes] of await interleaved(peers, rounds, (each) => flood(each, seconds * 1000))) {
      set(peer, {
        rate: median(probes.map(({ result }) => (result.done * 1000) / result.ms)),
        cpu: median(probes.map(({ cpu, result }) => cpu / Math.max(1, result.done))),
        busy: median(probes.map(({ cpu, result }) => cpu / 10 / result.ms)),
        load: Math.max(...probes.map(({ rss }) => rss)),
        wrong: wrongOf(probes),
      })
    }
  }

  async function open(): Promise<void> {
    await warmUp()
    const direct: Peer = { name: 'direct', pid: 0, port: rig.ports[0] ?? 0, call: { path: '/v2/models/fraud/infer' } }
    const all = await interleaved([direct, ...peers], rounds, (each) =>
      probe(each, { kind: 'open', rate: 500, connections: 32, ms: seconds * 1000, ...calling(each) }))
    const of = (peer: Peer, key: 'p50' | 'p99') => median(all.get(peer)?.map(({ result }) => result[key]) ?? [])
    for (const [peer, probes] of all) {
      if (peer !== direct) set(peer, { p50: of(peer, 'p50') - of(direct, 'p50'), p99: of(peer, 'p99') - of(direct, 'p99'), openWrong: wrongOf(probes) })
    }
  }

  async function events(): Promise<void> {
    const direct: Peer = { name: 'direct', pid: 0, port: rig.ports[0] ?? 0, call: { path: '/' } }
    const job = (peer: Peer, apart: number, count: number): Job =>
      ({ kind: 'events', connections: 32, port: peer.port, path: `/events/${count}/${apart}` })
    await interleaved(streaming, 1, (each) => probe(each, job(each, 0, 1000)))
    const paced = await interleaved([direct, ...streaming], rounds, (each) => probe(each, job(each, 5, 200)))
    const p99 = (peer: Peer) => median(paced.get(peer)?.map(({ result }) => result.p99) ?? [])
    const fast = await interleaved(streaming, rounds, (each) => probe(each, job(each, 0, 2000)))
    for (const peer of streaming) {
      const [slowly, quickly] = [paced.get(peer) ?? [], fast.get(peer) ?? []]
      set(peer, {
        chunk: median(slowly.map(({ cpu, result }) => cpu / result.done)),
        chunkP99: p99(peer) - p99(direct),
        chunkFast: median(quickly.map(({ cpu, result }) => cpu / result.done)),
        eventsWrong: wrongOf([...slowly, ...quickly]) + missing(slowly, 32 * 200) + missing(quickly, 32 * 2000),
      })
    }
  }

  async function bodies(): Promise<void> {
    const per = (units: number, probes: readonly Probe[]) => ({
      rate: median(probes.map(({ result }) => (units * 1000) / result.ms)), cpu: median(probes.map(({ cpu }) => cpu / units)),
    })
    const up = (peer: Peer) => probe(peer, { kind: 'upload', port: peer.port, path: '/upload', connections: 8, bytes: 64 * mib })
    const down = (peer: Peer, connections: number, bytes: number) =>
      probe(peer, { kind: 'download', port: peer.port, path: `/bytes/${bytes}`, connections, bytes })
    await interleaved(streaming, 1, (peer) => probe(peer, { kind: 'upload', port: peer.port, path: '/upload', connections: 8, bytes: 16 * mib }))
    for (const [peer, probes] of await interleaved(streaming, rounds, up)) {
      const { rate, cpu } = per(512, probes)
      set(peer, { up: rate, upCpu: cpu, bodiesWrong: wrongOf(probes) })
    }
    for (const [peer, probes] of await interleaved(streaming, rounds, (each) => down(each, 1, 1024 * mib))) {
      const { rate, cpu } = per(1024, probes)
      set(peer, { down: rate, downCpu: cpu, grown: Math.max(...probes.map(({ rss }) => rss)) - idleOf(peer) })
    }
    for (const [peer, probes] of await interleaved(streaming, 2, (each) => down(each, 50, 20 * mib))) {
      set(peer, { grown50: Math.max(...probes.map(({ rss }) => rss)) - idleOf(peer) })
    }
  }

  const parts: Readonly<Record<(typeof works)[number], () => Promise<void>>> = { requests, open, events, bodies }
  for (const part of works) {
    if (!plan.work.includes(part)) continue
    await parts[part]()
    plan.say(part, peers.map((peer) => ({ name: peer.name, figures: figures.get(peer) ?? {} })))
  }
}

/** The rounds of all proxies in turn, each time in another order. */
async function interleaved(peers: readonly Peer[], count: number, one: (peer: Peer) => Promise<Probe>): Promise<Map<Peer, Probe[]>> {
  const probes = new Map<Peer, Probe[]>(peers.map((peer) => [peer, []]))
  for (let round = 0; round < count; round++) {
    for (let i = 0; i < peers.length; i++) {
      const peer = peers[(i + round) % peers.length]
      if (peer) probes.get(peer)?.push(await one(peer))
    }
  }
  return probes
}

const wrongOf = (probes: readonly Probe[]) => probes.reduce((sum, { result }) => sum + result.wrong, 0)
const missing = (probes: readonly Probe[], each: number) => probes.reduce((sum, { result }) => sum + each - result.done, 0)
