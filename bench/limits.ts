import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { RateLimiterRedis, RateLimiterUnion } from 'rate-limiter-flexible'
import { connectLimiter, createLimiter } from '../dataplane/limits/create.ts'
import type { Take } from '../dataplane/limits/limiter.ts'
import { parseRedisUrl } from '../dataplane/limits/redis/url.ts'
import { freePorts } from '../test/free-ports.ts'
import { endAll, onPath, otherCore, proxyCore, start } from './processes.ts'
import { median } from './report.ts'

/**
 * `npm run bench:limits [-- --rounds N]`: what a limit costs, in the process and over Redis, beside rate-limiter-flexible on
 * the same server. This process, which both asks and decides, has one core; Redis has the other.
 */

type Ask = (caller: number) => unknown

const takesOf = (count: number, caller: number): Take[] => Array.from({ length: count }, (_, i) => ({
  key: `ml/tiers/limit-${i} FixedWindow caller-${caller}`, algorithm: { type: 'FixedWindow', window: 3_600_000 }, amount: 1_000_000_000,
  units: 1, hold: false, scope: 'Global', shadow: false, onStoreFailure: 'Local',
}))

/** `rate` a second whatever happens: milliseconds that each took. */
async function open(ask: Ask, rate: number, ms: number): Promise<number[]> {
  const took: number[] = []
  const pending: Promise<void>[] = []
  const begin = performance.now()
  let sent = 0
  while (performance.now() - begin < ms) {
    // A turn of the loop a millisecond at most; what is due by then is asked for, as requests that arrive are.
    await new Promise((resolve) => setImmediate(resolve))
    if (sent >= ((performance.now() - begin) * rate) / 1000) continue
    const at = performance.now()
    pending.push(Promise.resolve(ask(sent++ % 1000)).then(() => void took.push(performance.now() - at)))
  }
  await Promise.all(pending)
  return took
}

const quantile = (values: readonly number[], share: number) => values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN

/** As many as `at once` allows: how many a second, and µs of CPU for each. */
async function closed(ask: Ask, atOnce: number, ms: number): Promise<{ rate: number; cpu: number }> {
  let done = 0
  const [cpu, begin] = [process.cpuUsage(), performance.now()]
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (performance.now() - begin < ms) await ask(done++ % 1000)
  }))
  const { user, system } = process.cpuUsage(cpu)
  return { rate: (done * 1000) / (performance.now() - begin), cpu: (user + system) / done }
}

/** Nanoseconds for one decision in the process. */
function inProcess(count: number, callers: number): number {
  const limiter = createLimiter()
  const takes = Array.from({ length: callers }, (_, caller) => takesOf(count, caller))
  const each = () => {
    const begin = performance.now()
    const times = Math.ceil(400_000 / count)
    for (let i = 0; i < times; i++) void limiter.take('ml', takes[i % callers] ?? [])
    return ((performance.now() - begin) * 1e6) / times
  }
  each()
  return median(Array.from({ length: 5 }, each))
}

/** Bytes for each of a million counts, and the longest pause that one of them caused. */
function million(): { bytes: number; pause: number } {
  globalThis.gc?.()
  const used = () => {
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const before = used()
  const limiter = createLimiter()
  let pause = 0
  for (let caller = 0; caller < 1_000_000; caller++) {
    const takes = takesOf(1, caller)
    const begin = performance.now()
    void limiter.take('ml', takes)
    pause = Math.max(pause, performance.now() - begin)
  }
  globalThis.gc?.()
  const bytes = (used() - before) / 1_000_000
  void limiter.take('ml', takesOf(1, 0))
  return { bytes, pause }
}

async function bench(): Promise<void> {
  const at = process.argv.indexOf('--rounds')
  const rounds = at < 0 ? 3 : Number(process.argv[at + 1])
  const { bytes, pause } = million()
  console.log(`in the process: one limit ${inProcess(1, 1000).toFixed(0)} ns, ten ${inProcess(10, 1000).toFixed(0)} ns`)
  console.log(`a million counts: ${bytes.toFixed(0)} bytes each, ${(bytes / 1.048576).toFixed(0)} MiB; the longest decision ${pause.toFixed(1)} ms\n`)
  const program = await onPath('redis-server')
  if (program === undefined) {
    console.log('no redis-server on PATH: nothing measured over Redis')
    return
  }
  const folder = await mkdtemp(join(tmpdir(), 'modelroute-bench-'))
  try {
    const [port = 0] = await freePorts(1)
    const server = start(otherCore, [program, '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'])
    for (;;) {
      const { value, done } = await server.lines.next()
      if (done === true) throw new Error('redis-server ended')
      if (value.includes('Ready to accept')) break
    }
    await overRedis(port, rounds)
  } finally {
    await endAll()
    await rm(folder, { recursive: true, force: true })
  }
}

async function overRedis(port: number, rounds: number): Promise<void> {
  const redis = parseRedisUrl(`redis://127.0.0.1:${port}`)
  if (typeof redis === 'string') throw new Error(redis)
  const limiter = await connectLimiter({ redis, fleet: 'bench', say: (...line) => console.error(...line) })
  const client = new Redis({ port, host: '127.0.0.1' })
  const plain = Array.from({ length: 10 }, (_, i) => new RateLimiterRedis({ storeClient: client, keyPrefix: `flexible-${i}`, points: 1_000_000_000, duration: 3600 }))
  const [first] = plain
  const union = new RateLimiterUnion(...plain)
  const ours = (count: number): Ask => {
    const takes = Array.from({ length: 1000 }, (_, caller) => takesOf(count, caller))
    return (caller) => limiter.take('ml', takes[caller] ?? [])
  }
  const asks: readonly (readonly [string, Ask])[] = [
    ['PING', () => client.ping()],
    ['one limit', ours(1)],
    ['ten limits', ours(10)],
    ['rate-limiter-flexible, one', (caller) => first?.consume(`caller-${caller}`)],
    ['rate-limiter-flexible, ten', (caller) => union.consume(`caller-${caller}`)],
  ]
  for (const [, ask] of asks) await closed(ask, 16, 500)
  const rows = new Map(asks.map(([name]) => [name, { p50: [] as number[], p99: [] as number[], rate: [] as number[], cpu: [] as number[] }]))
  for (let round = 0; round < rounds; round++) {
    for (const [name, ask] of asks) {
      const row = rows.get(name)
      const took = await open(ask, 1000, 2000)
      const { rate, cpu } = await closed(ask, 64, 1500)
      row?.p50.push(quantile(took, 0.5))
      row?.p99.push(quantile(took, 0.99))
      row?.rate.push(rate)
      row?.cpu.push(cpu)
    }
  }
  console.table(Object.fromEntries([...rows].map(([name, { p50, p99, rate, cpu }]) => [name, {
    'p50 at 1,000/s (ms)': Number(median(p50).toFixed(3)),
    'p99 (ms)': Number(median(p99).toFixed(2)),
    'a second, 64 at once': Math.round(median(rate)),
    'CPU (µs)': Number(median(cpu).toFixed(1)),
  }])))
  await limiter.close()
  client.disconnect()
}

if (process.env['MODELROUTE_BENCH_PINNED'] === undefined) {
  const again = ['-c', String(proxyCore), process.execPath, '--expose-gc', import.meta.filename, ...process.argv.slice(2)]
  const child = spawn('taskset', again, { stdio: 'inherit', env: { ...process.env, MODELROUTE_BENCH_PINNED: '1' } })
  child.on('exit', (code) => process.exit(code ?? 1))
} else await bench()
