import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../test/cluster/wait.ts'
import { endAll, otherCore, parsed, proxyCore, said, start, type Started } from '../processes.ts'
import { objectsOf } from './world.ts'

/**
 * `npm run bench:table [-- --routes N] [--against FOLDER]`: what a proxy's table of many routes takes of its heap, above one of none,
 * and how long the first one holds up its event loop. The same routes as in the cluster of bench:scale, from files.
 * `--against`: another checkout's proxy beside this one's.
 */
const argument = (name: string) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : process.argv[at + 1]
}
const routes = Number(argument('routes') ?? 5000)
const against = argument('against')
const rounds = Number(argument('rounds') ?? 3)
const folder = mkdtempSync(join(tmpdir(), 'table-'))
const root = join(import.meta.dirname, '../..')

type Seen = Readonly<{ most: number; heap: number }>

async function seen(proxy: Started, told: string): Promise<Seen> {
  rmSync(told, { force: true })
  proxy.child.kill('SIGUSR2')
  return until('what the proxy saw of itself', () => parsed<Seen>(readFileSync(told, 'utf8')))
}

/** A proxy that has its first table. */
async function table(checkout: string, url: string, gateway: string): Promise<Seen> {
  const told = join(folder, 'seen.json')
  const proxy = start(proxyCore, [
    process.execPath, '--expose-gc', '--import', join(root, 'bench/scale/stall.ts'), join(checkout, 'cli/modelroute.js'), 'dataplane', '--controller', url,
    '--gateway', gateway, '--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0', '--health-port', '0', '--snapshot', 'none', '--drain-delay', '0s', '--log-level', 'warn', ...(argument('flags')?.split(' ') ?? []),
  ], { MODELROUTE_STALL: told })
  const admin = await said<{ name: string; url: string }>(proxy, ({ name }) => name === 'admin')
  proxy.discard()
  await until('a table', async () => (await fetch(`${admin?.url}/readyz`)).ok, { timeout: 120_000 })
  const found = await seen(proxy, told)
  proxy.child.kill('SIGTERM')
  return found
}

const middle = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const file = join(folder, 'routes.json')
writeFileSync(file, Array.from({ length: routes }, (_, i) => objectsOf(i).map((one) => `---\n${JSON.stringify(one)}\n`).join('')).join(''))
try {
  const controller = start(otherCore, [process.execPath, join(root, 'cli/modelroute.js'), 'controller', '-f', file, '--push-port', '0', '--control-port', '0', '--log-level', 'warn'])
  const push = await said<{ name: string; url: string }>(controller, ({ name }) => name === 'push')
  if (push === undefined) throw new Error('the controller did not start')
  const found = new Map([root, ...(against === undefined ? [] : [against])].map((checkout) => [checkout, { heap: [] as number[], most: [] as number[] }]))
  for (let round = 0; round < rounds; round++) {
    for (const [checkout, { heap, most }] of found) {
      const empty = await table(checkout, push.url, 'nobody')
      const full = await table(checkout, push.url, 'default')
      heap.push(full.heap - empty.heap)
      most.push(full.most)
    }
  }
  for (const [checkout, { heap, most }] of found) {
    console.log(`${checkout === root ? 'this' : checkout}: ${routes} routes, ${middle(heap).toFixed(1)} MiB of heap above none, the first table stalls ${middle(most).toFixed(1)} ms (${most.map((each) => each.toFixed(0)).join(', ')})`)
  }
} finally {
  await endAll()
  rmSync(folder, { recursive: true })
}
