import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { usualBody, type Job, type Result } from './load.ts'
import { modes, startOurs } from './ours.ts'
import { install, startPeers, type Missing, type Peer } from './peers.ts'
import { cpuOf, endAll, onPath, otherCore, outputOf, parsed, proxyCore, rssOf, said, start } from './processes.ts'
import { median, quantile, report, type Figures, type Row } from './report.ts'

/**
 * `npm run bench [-- --quick] [--install] [--only WORK,…] [--peers NAME,…] [--modes off,on,logged,many] [--node-flags FLAGS]`
 *
 * Every proxy alone on one core, the load and the backend on the other, all over loopback. The rounds of all proxies take
 * turns, so that what the machine does meanwhile hits all of them alike; medians of the rounds are reported.
 */
const argument = (name: string) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : process.argv[at + 1] ?? ''
}
const list = (name: string) => argument(name)?.split(',')
const quick = process.argv.includes('--quick')
const only = list('only')
const wants = (work: string) => only === undefined || only.includes(work)
const rounds = Number(argument('rounds') ?? (quick ? 2 : 5))

type Probe = Readonly<{ result: Result; cpu: number; rss: number }>

/** One job against one proxy: what it did, what it cost (µs of CPU), how large it grew (MiB). */
async function probe(peer: Peer | undefined, job: Job): Promise<Probe> {
  const before = peer ? await cpuOf(peer.pid) : 0
  let rss = 0
  const look = async () => {
    if (peer) rss = Math.max(rss, await rssOf(peer.pid))
  }
  const watch = setInterval(() => void look(), 100)
  const result = parsed<Result>(await outputOf(otherCore, [process.execPath, join(import.meta.dirname, 'load.ts'), JSON.stringify(job)]))
  clearInterval(watch)
  return { result, cpu: peer ? (await cpuOf(peer.pid)) - before : 0, rss }
}

let wrk: string | undefined

/** wrk costs its core a fifth of what a generator in Node does, so that the backend is further from being the limit. */
async function flood(peer: Peer, folder: string, seconds: number): Promise<Probe> {
  const { path, headers = {}, body = usualBody } = peer.call
  if (wrk === undefined) return probe(peer, { kind: 'closed', port: peer.port, ...peer.call, connections: 32, ms: seconds * 1000 })
  const script = join(folder, 'post.lua')
  const lines = Object.entries({ ...headers, 'Content-Type': 'application/json', Host: 'bench.example.com' })
  await writeFile(script, `wrk.method = "POST"\nwrk.body = ${JSON.stringify(body)}\n${
    lines.map(([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}\n`).join('')}`)
  const before = await cpuOf(peer.pid)
  const text = await outputOf(otherCore, [wrk, '-t1', '-c32', `-d${seconds}`, '-s', script, `http://127.0.0.1:${peer.port}${path}`])
  const [cpu, rss] = [(await cpuOf(peer.pid)) - before, await rssOf(peer.pid)]
  const [, done = '0', took = '1'] = /(\d+) requests in ([\d.]+)s/.exec(text) ?? []
  const wrong = [...text.matchAll(/(?:Non-2xx or 3xx responses: |read |write |timeout )(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0)
  return { result: { done: Number(done), wrong, ms: Number(took) * 1000, latencies: [] }, cpu, rss }
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
const perUnit = (probes: readonly Probe[], units: (probe: Probe) => number) =>
  probes.reduce((sum, { cpu }) => sum + cpu, 0) / Math.max(1, probes.reduce((sum, each) => sum + units(each), 0))

async function measure(peers: readonly Peer[], upstream: number, folder: string): Promise<void> {
  const figures = new Map<Peer, Figures>(peers.map((peer) => [peer, {}]))
  const set = (peer: Peer, more: Figures) => figures.set(peer, { ...figures.get(peer), ...more })
  for (const peer of peers) set(peer, { idle: await rssOf(peer.pid) })
  const plain = peers.filter(({ call }) => call.body === undefined)
  // The slow ones would take most of the time, and streaming is not what they are compared in.
  const streaming = plain.filter(({ name }) => !['naive gateway', 'many', 'logged'].includes(name))

  if (wants('requests')) {
    // The first round is for the compilers of those that have one.
    await interleaved(peers, 1, (peer) => flood(peer, folder, quick ? 1 : 2))
    for (const [peer, probes] of await interleaved(peers, rounds, (each) => flood(each, folder, quick ? 1 : 2))) {
      set(peer, {
        rate: median(probes.map(({ result }) => (result.done * 1000) / result.ms)),
        cpu: median(probes.map(({ cpu, result }) => cpu / Math.max(1, result.done))),
        busy: median(probes.map(({ cpu, result }) => cpu / 10 / result.ms)),
        load: Math.max(...probes.map(({ rss }) => rss)),
        wrong: wrongOf(probes),
      })
    }
    await say('requests')
  }

  if (wants('open')) {
    const job = { kind: 'open', rate: 500, connections: 32, ms: quick ? 1500 : 4000 } as const
    const direct = (await interleaved([{ name: 'direct', pid: 0, port: upstream, call: { path: '/v2/models/fraud/infer' } }], rounds, (peer) => probe(undefined, { ...job, port: peer.port, path: peer.call.path }))).values().next().value ?? []
    const of = (probes: readonly Probe[], share: number) => median(probes.map(({ result }) => quantile(result.latencies, share)))
    const [d50, d99] = [of(direct, 0.5), of(direct, 0.99)]
    for (const [peer, probes] of await interleaved(peers, Math.min(rounds, 3), (each) => probe(each, { ...job, port: each.port, ...each.call }))) {
      set(peer, { p50: of(probes, 0.5) - d50, p99: of(probes, 0.99) - d99 })
    }
    await say('open')
  }

  if (wants('events')) {
    const job = (apart: number, count: number) => ({ kind: 'events', streams: 32, path: `/events/${count}/${apart}` }) as const
    const direct = await probe(undefined, { ...job(5, 200), port: upstream })
    for (const [peer, probes] of await interleaved(streaming, rounds, (each) => probe(each, { ...job(5, 200), port: each.port }))) {
      const p99 = median(probes.map(({ result }) => quantile(result.latencies, 0.99)))
      set(peer, {
        chunk: perUnit(probes, ({ result }) => result.done),
        chunkP99: p99 - quantile(direct.result.latencies, 0.99),
        eventsWrong: wrongOf(probes) + probes.reduce((sum, { result }) => sum + 6400 - result.done, 0),
      })
    }
    for (const [peer, probes] of await interleaved(streaming, rounds, (each) => probe(each, { ...job(0, 1000), port: each.port }))) {
      set(peer, { chunkFast: perUnit(probes, ({ result }) => result.done) })
    }
    await say('events')
  }

  if (wants('bodies')) {
    const mib = 1 << 20
    const size = (quick ? 256 : 1024) * mib
    for (const [peer, probes] of await interleaved(streaming, rounds, (each) => probe(each, { kind: 'upload', port: each.port, path: '/upload', connections: 8, bytes: 16 * mib }))) {
      set(peer, { up: median(probes.map(({ result }) => 128_000 / result.ms)), upCpu: perUnit(probes, () => 128) })
    }
    for (const [peer, probes] of await interleaved(streaming, Math.min(rounds, 3), (each) => probe(each, { kind: 'download', port: each.port, path: `/bytes/${size}`, connections: 1, bytes: size }))) {
      const idle = figures.get(peer)?.idle ?? 0
      set(peer, {
        down: median(probes.map(({ result }) => (size / mib) * 1000 / result.ms)),
        downCpu: perUnit(probes, () => size / mib),
        grown: Math.max(...probes.map(({ rss }) => rss)) - idle,
      })
    }
    for (const [peer, probes] of await interleaved(streaming, 1, (each) => probe(each, { kind: 'download', port: each.port, path: `/bytes/${20 * mib}`, connections: 50, bytes: 20 * mib }))) {
      set(peer, { grown50: Math.max(...probes.map(({ rss }) => rss)) - (figures.get(peer)?.idle ?? 0) })
    }
    await say('bodies')
  }

  async function say(part: string): Promise<void> {
    const rows: Row[] = peers.map((peer) => ({ name: peer.name, figures: figures.get(peer) ?? {} }))
    console.log(report(part, rows))
  }
}

if (process.argv.includes('--install')) await install()
const folder = await mkdtemp(join(tmpdir(), 'modelroute-bench-'))
try {
  if (availableParallelism() < 2) throw new Error('one core for the proxy and one for the rest are needed')
  wrk = process.argv.includes('--no-wrk') ? undefined : await onPath('wrk')
  const backend = start(otherCore, [process.execPath, join(import.meta.dirname, 'upstream.ts')])
  const { ports } = await said<{ ports: number[] }>(backend) ?? { ports: [] }
  const [first = 0] = ports
  const peerNames = list('peers')
  const found = await startPeers(first, folder, (name) => peerNames === undefined || peerNames.includes(name))
  const missing = found.filter((each): each is Missing => 'missing' in each)
  const peers = found.filter((each): each is Peer => 'pid' in each)
  const wanted = list('modes') ?? modes
  const ours = await startOurs(ports, folder, modes.filter((mode) => wanted.includes(mode)), argument('node-flags')?.split(' '))
  console.log(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores; Node ${process.version}; proxies on core ${proxyCore}; load by ${wrk ? 'wrk' : 'bench/load.ts'}\n`)
  for (const { name, missing: how } of missing) console.log(`not measured: ${name} (${how})`)
  await measure([...peers, ...ours], first, folder)
} finally {
  await endAll()
  await rm(folder, { recursive: true, force: true })
}
