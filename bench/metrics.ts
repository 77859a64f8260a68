import { fork } from 'node:child_process'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { listen } from '../dataplane/listen.ts'
import { SeriesSet } from '../dataplane/telemetry/series.ts'
import { metricsOf } from '../test/dataplane/metrics.ts'
import { median } from './report.ts'

/**
 * What the metrics of 10,000 routes (or as asked) of three versions take: memory, how long a scrape takes, and how late
 * the event loop is meanwhile. `npm run bench:metrics [ROUTES]`. Exits 1 past its limits.
 */
const limits = { scrape: 100, late: 10, memory: 150 } as const

type Answer = { took: number; bytes: number }

if (process.send === undefined) await measure(Number(process.argv[2] ?? 10_000))
else process.on('message', ({ port, headers }: { port: number; headers: Record<string, string> }) => {
  const begun = performance.now()
  let bytes = 0
  // Into the same memory each time: a reader that has to tidy up would take the processors from who is measured.
  const callback = (read: number): boolean => {
    bytes += read
    return true
  }
  const socket = connect({ host: '127.0.0.1', port, onread: { buffer: Buffer.alloc(65_536), callback } })
  socket.on('close', () => process.send?.({ took: performance.now() - begun, bytes }))
  const lines = Object.entries({ host: '127.0.0.1', connection: 'close', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`GET /metrics HTTP/1.1\r\n${lines.join('')}\r\n`)
})

async function measure(routes: number): Promise<void> {
  const heap = (): number => {
    globalThis.gc?.()
    return process.memoryUsage().heapUsed / 2 ** 20
  }
  const before = heap()
  const series = new SeriesSet()
  for (let i = 0; i < routes; i++) {
    for (const version of ['1', '2', '3']) {
      const one = series.get({ route: `team-${i % 50}/model-${i}`, rule: 'infer', variant: `v${version}`, model: `model-${i}`, model_version: version })
      for (let n = 0; n < 20; n++) {
        one.count(200, undefined)
        const seconds = Math.random() ** 4 * 10
        // A hundredth is traced.
        const trace = Math.random() < 0.01 ? i.toString(16).padStart(32, '0') : undefined
        one.request.observe(seconds, trace)
        one.upstream.observe(seconds, trace)
        one.firstByte.observe(seconds, trace)
      }
      one.countTokens({ inputTokens: 12, outputTokens: 34 })
    }
  }
  const memory = heap() - before
  const metrics = metricsOf(series)
  const server = createServer((request, response) => metrics.scrape(request, response))
  const port = Number(new URL((await listen(server, '127.0.0.1', 0)).url).port)
  const reader = fork(import.meta.filename)
  const scrape = async (headers: Record<string, string>): Promise<Answer & { late: number; cpu: number }> => {
    // A timer tells by how much it came too late: what a request would have waited.
    let late = 0
    let last = performance.now()
    const watch = setInterval(() => {
      late = Math.max(late, performance.now() - last - 1)
      last = performance.now()
    }, 1)
    const spent = process.cpuUsage()
    reader.send({ port, headers })
    const answer = await new Promise<Answer>((resolve) => { reader.once('message', (message: Answer) => resolve(message)) })
    clearInterval(watch)
    const { user, system } = process.cpuUsage(spent)
    return { ...answer, late, cpu: (user + system) / 1000 }
  }
  console.log(`${routes} routes of three versions: ${memory.toFixed(0)} MiB of memory before the first scrape`)
  let worst = { took: 0, late: 0 }
  const kinds = { 'text': {}, 'OpenMetrics, packed': { accept: 'application/openmetrics-text', 'accept-encoding': 'gzip' } }
  for (const [kind, headers] of Object.entries(kinds)) {
    const all: Awaited<ReturnType<typeof scrape>>[] = []
    for (let n = 0; n < 14; n++) {
      all.push(await scrape(headers))
      await sleep(50)
    }
    // The first ones are of a program that is still being compiled.
    const warm = all.slice(4)
    const took = median(warm.map((one) => one.took))
    const late = median(warm.map((one) => one.late))
    worst = { took: Math.max(worst.took, took), late: Math.max(worst.late, ...warm.map((one) => one.late)) }
    console.log(`${kind}: ${((warm[0]?.bytes ?? 0) / 2 ** 20).toFixed(1)} MiB in ${took.toFixed(0)} ms (at most ${Math.max(...warm.map((one) => one.took)).toFixed(0)}), ${median(warm.map((one) => one.cpu)).toFixed(0)} ms of processors, the event loop late by ${late.toFixed(1)} ms (at most ${Math.max(...warm.map((one) => one.late)).toFixed(1)})`)
  }
  const after = heap() - before
  console.log(`${after.toFixed(0)} MiB of memory after them`)
  reader.disconnect()
  server.closeAllConnections()
  server.close()
  metrics.close()
  const held = worst.took <= limits.scrape && worst.late <= limits.late && after <= limits.memory
  console.log(`at most ${limits.scrape} ms, ${limits.late} ms late, ${limits.memory} MiB: ${held ? 'held' : 'NOT HELD'}`)
  process.exitCode = held ? 0 : 1
}
