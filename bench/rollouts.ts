import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startReceiver } from '../dataplane/receive/stream.ts'
import { createStore, type Active } from '../dataplane/store.ts'
import { serviceAt } from '../test/manifests.ts'
import { addTraffic, randomFrom, type Quality } from '../test/rollout/simulation.ts'
import type { RuleMeasurements } from '../table/delivery.ts'
import { noCounts, told, type Counts } from '../table/measurements.ts'
import { cpuOf, endAll, proxyCore, rssOf, said, start } from './processes.ts'

/**
 * `npm run bench:rollouts [-- --routes N --seconds N]`: what a controller costs that has so many rollouts under way at once, with
 * three proxies that each tell once a second what every one of their rules counted. The controller has one core, and this
 * process, which plays the proxies, the other.
 */

function option(name: string, otherwise: number): number {
  const at = process.argv.indexOf(name)
  return at === -1 ? otherwise : Number(process.argv[at + 1])
}
const routes = option('--routes', 500)
const seconds = option('--seconds', 30)

const manifest = (name: string, stable: number, canary: number) => `
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: ${name}}
spec:
  rules:
  - name: infer
    matches: [{path: {type: PathPrefix, value: /v2/models/${name}}}]
    backendRefs:
    - {variant: stable, name: one, port: 8000, weight: ${stable}}
    - {variant: canary, name: two, port: 8000, weight: ${canary}}
    rollout:
      candidate: canary
      steps: [{percent: 5, hold: 1h}, {percent: 50, hold: 1h}]
      analysis:
        metrics:
        - {name: error-rate, max: "0.01"}
        - {name: p50-latency, maxRatioToStable: "1.2"}
        - {name: p99-latency, maxRatioToStable: "1.5"}
`
const manifests = (stable: number, canary: number) =>
  [serviceAt('one', 9), serviceAt('two', 9), ...Array.from({ length: routes }, (_, i) => manifest(`m${i}`, stable, canary))].join('\n---\n')

const good: Quality = { errors: 0.002, median: 0.05, spread: 0.5 }
const random = randomFrom(1)

/** A proxy that serves nothing, and counts what it would have. */
function proxyOf(url: string, node: string) {
  let measured: Map<string, Readonly<{ rule: Omit<RuleMeasurements, 'variants'>; stable: Counts; canary: Counts }>> = new Map()
  const activate = ({ routes: table }: Active) => {
    const next: typeof measured = new Map()
    for (const { id: route, rules } of table.values()) {
      for (const { name, measured: of } of rules) {
        if (of === undefined) continue
        const key = `${route} ${name} ${of.id}`
        next.set(key, measured.get(key) ?? { rule: { route, rule: name, id: of.id }, stable: noCounts(0), canary: noCounts(0) })
      }
    }
    measured = next
    return []
  }
  const receiver = startReceiver({ store: createStore({ activate }), controllers: [url], gateway: 'default', node })
  return {
    measured: () => measured.size,
    /** What a second brought. */
    tick() {
      const rules = [...measured.values()].map(({ rule, stable, canary }) => {
        addTraffic(stable, good, 19, random)
        addTraffic(canary, good, 1, random)
        return { ...rule, variants: [told('stable', stable), told('canary', canary)] }
      })
      for (let i = 0; i < rules.length; i += 100) receiver.tell({ type: 'measurements', rules: rules.slice(i, i + 100) })
      return JSON.stringify(rules).length
    },
    close: () => receiver.close(),
  }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`not within a minute: ${what}`)
    await sleep(50)
  }
}

const folder = await mkdtemp(join(tmpdir(), 'modelroute-bench-'))
try {
  const file = join(folder, 'routes.yaml')
  await writeFile(file, manifests(100, 0))
  const cli = join(import.meta.dirname, '../cli/modelroute.js')
  const controller = start(proxyCore, [process.execPath, cli, 'controller', '-f', file, '--host', '127.0.0.1', '--push-port', '0', '--control-port', '0', '--state-dir', folder])
  const push = await said<{ name: string; url: string }>(controller, ({ name }) => name === 'push')
  if (push === undefined) throw new Error('the controller did not start')
  const proxies = ['a', 'b', 'c'].map((node) => proxyOf(push.url, node))
  await sleep(3000)
  // The first sight of a route is no rollout; the edit that turns the weights around begins them all.
  await writeFile(file, manifests(0, 100))
  await until(`${routes} rollouts under way`, () => proxies.every(({ measured }) => measured() === routes))
  let bytes = 0
  const timer = setInterval(() => { bytes = proxies.reduce((sum, proxy) => sum + proxy.tick(), 0) }, 1000)
  await sleep(12_000)
  const before = await cpuOf(controller.pid)
  const begin = performance.now()
  await sleep(seconds * 1000)
  const share = ((await cpuOf(controller.pid)) - before) / 1000 / (performance.now() - begin)
  clearInterval(timer)
  console.log(`${routes} rollouts, 3 gates each, 3 proxies: ${(share * 100).toFixed(1)} % of a core, ${(await rssOf(controller.pid)).toFixed(0)} MiB; ${(bytes / 1024).toFixed(0)} KiB of measurements a second`)
  for (const proxy of proxies) proxy.close()
} finally {
  await endAll()
  await rm(folder, { recursive: true, force: true })
}
