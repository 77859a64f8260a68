import { createProxyConsole } from '../dataplane/console/console.ts'
import { Caches } from '../dataplane/cache/caches.ts'
import { createLimiter } from '../dataplane/limits/create.ts'
import { createRuntime } from '../dataplane/runtime.ts'
import { LimitTally } from '../dataplane/telemetry/limits.ts'
import { Measurements } from '../dataplane/telemetry/measurements.ts'
import { active, match, route, rule, variant } from '../test/dataplane/table.ts'

/**
 * What a look of the console costs a proxy of 5,000 routes of three versions, all of them called: how long each view
 * takes, and how long the event loop was held up meanwhile, at worst, in milliseconds.
 */

const routes = 5000
const looks = 5
const runtime = createRuntime()
const variants = ['one', 'two', 'three'].map((name, i) => variant(name, 'ml/s:80', { weight: [800_000, 150_000, 50_000][i] ?? 0, model: { version: String(i) } }))
const table = active('1', Array.from({ length: routes }, (_, i) => route({ id: `ml/model-${String(i).padStart(4, '0')}`, rules: [rule({ matches: [match(`/m/${i}`)], variants })] })), { 'ml/s:80': [9] })
runtime.activate(table)

/** Milliseconds that this thread was at work: what others of the machine take is not the console's. */
function worked(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

function call(): void {
  for (const id of table.routes.keys()) {
    for (const [i, { name }] of variants.entries()) {
      const series = runtime.series.get({ route: id, rule: 'infer', variant: name, model: '', model_version: String(i) })
      series.count(i === 2 ? 503 : 200, i === 2 ? 'circuit_open' : undefined)
      series.request.observe(Math.random())
    }
  }
}

const seen = createProxyConsole({
  series: runtime.series, limits: new LimitTally(), limiter: createLimiter(), measurements: new Measurements(), caches: new Caches(),
  table: runtime.table, tableAge: () => 0, ready: () => true,
})
call()
for (const view of ['traffic', 'rollouts', 'limits', 'endpoints', 'caches', 'table'] as const) {
  let took = 0
  let held = 0
  for (let i = 0; i < looks; i++) {
    call()
    // Past the time for which a look stands, so that everything is gone over again.
    await new Promise((resolve) => { setTimeout(resolve, 950) })
    const begun = performance.now()
    let last = worked()
    let going = true
    const stretch = (): void => {
      const now = worked()
      held = Math.max(held, now - last)
      last = now
    }
    const turn = (): void => {
      // What comes after the look are the next calls of this program.
      if (!going) return
      stretch()
      setImmediate(turn)
    }
    setImmediate(turn)
    JSON.stringify(await seen.state({ view, search: i % 2 === 0 ? '' : 'model-4', sort: 'latency', offset: 0, limit: 25 }))
    took = Math.max(took, performance.now() - begun)
    stretch()
    going = false
  }
  console.log(`${view.padEnd(10)} ${took.toFixed(0).padStart(5)} ms a look, the loop held up ${held.toFixed(1)} ms`)
}
seen.close()
await runtime.close()
