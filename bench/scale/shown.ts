import { Caches } from '../../dataplane/cache/caches.ts'
import { createProxyConsole } from '../../dataplane/console/console.ts'
import { createLimiter } from '../../dataplane/limits/create.ts'
import { createRuntime } from '../../dataplane/runtime.ts'
import { LimitTally } from '../../dataplane/telemetry/limits.ts'
import { Measurements } from '../../dataplane/telemetry/measurements.ts'
import type { ConsoleState, Look } from '../../table/console.ts'
import { active, match, route, rule, variant } from '../../test/dataplane/table.ts'
import { idOf } from './world.ts'

/** What a proxy of so many routes, all of them called, tells who looks at its fleet. */
export function createShown(routes: number): (look: Look) => Promise<ConsoleState> {
  const runtime = createRuntime()
  const variants = [variant('stable', 'ml/s:80', { weight: 950_000 }), variant('canary', 'ml/s:80', { weight: 50_000 })]
  const items = Array.from({ length: routes }, (_, i) => route({ id: idOf(i), rules: [rule({ matches: [match(`/m/${i}`)], variants })] }))
  runtime.activate(active('1', items, { 'ml/s:80': [9] }))
  for (let i = 0; i < routes; i++) {
    for (const { name } of variants) {
      const series = runtime.series.get({ route: idOf(i), rule: 'infer', variant: name, model: '', model_version: '' })
      series.count(200, undefined)
      series.request.observe(Math.random())
    }
  }
  const seen = createProxyConsole({
    series: runtime.series, limits: new LimitTally(), limiter: createLimiter(), measurements: new Measurements(), caches: new Caches(),
    table: runtime.table, tableAge: () => 0, ready: () => true,
  })
  return (look) => seen.state(look)
}
