import { execFile } from 'node:child_process'
import { connect } from 'node:net'
import { promisify } from 'node:util'
import type { Process } from '../cluster/process.ts'
import { pause, until } from '../cluster/wait.ts'
import type { Fault } from './faults.ts'
import type { World } from './world.ts'

const run = promisify(execFile)

/** Of the packets of this namespace, while the network is bad. */
const lost = 0.03

type Trouble = Readonly<{ what: Fault['what']; targets: number; begin: (world: World, target: number) => Promise<void>; end: (world: World, target: number) => Promise<void> }>

const processes = (what: Fault['what'], of: (world: World) => readonly Process[], targets: readonly number[], up: (world: World, target: number) => Promise<unknown>): Trouble => ({
  what, targets: targets.length,
  begin: async (world, n) => of(world)[targets[n] ?? 0]?.kill(),
  end: async (world, n) => {
    of(world)[targets[n] ?? 0]?.start()
    await up(world, targets[n] ?? 0)
  },
})
const patience = { timeout: 120_000, every: 50 }

/** Whoever listens there. */
const listens = (host: string, port: number) => until(`${host}:${port}`, () => new Promise<boolean>((resolve) => {
  const socket = connect({ host, port })
  socket.once('connect', () => { socket.destroy(); resolve(true) }).once('error', () => resolve(false))
}), patience)

/** The first proxy is never killed: what it holds is measured. */
const troubles: readonly Trouble[] = [
  processes('proxy', ({ proxies }) => proxies, [1, 2], (world, n) => until(`proxy ${n}`, () => world.ready(n), patience)),
  processes('controller', ({ controllers }) => controllers, [0, 1], () => Promise.resolve()),
  processes('redis', ({ redis }) => [redis], [0], () => Promise.resolve()),
  processes('upstream', ({ upstreams }) => upstreams, [0, 1, 2], (_, n) => listens(`10.78.0.${n + 1}`, 8000)),
  {
    what: 'API server', targets: 1,
    begin: async ({ cluster }) => cluster.apiServer.kill(),
    end: async ({ cluster }) => cluster.apiServer.start(),
  },
  { what: 'network', targets: 1, begin: () => lose(true), end: () => lose(false) },
]

/** By netem, or where the kernel has none by what filters packets. Both are of this namespace only. */
async function lose(some: boolean): Promise<void> {
  try {
    await run('tc', ['qdisc', some ? 'add' : 'del', 'dev', 'lo', 'root', ...(some ? ['netem', 'loss', `${lost * 100}%`] : [])])
  } catch {
    await run('iptables-legacy', [some ? '-A' : '-D', 'INPUT', '-i', 'lo', '-m', 'statistic', '--mode', 'random', '--probability', String(lost), '-j', 'DROP'])
  }
}

/** One trouble after the other, each kind as often as any other, until it is told to stop. @returns ends it, once all is well */
export function makeTrouble(world: World, faults: Fault[], { lasts, rests }: Readonly<{ /** Milliseconds of each, and between them. */ lasts: number; rests: number }>): () => Promise<void> {
  const over = new AbortController()
  const going = (async () => {
    const times = (kind: Fault['what']) => faults.filter(({ what }) => what === kind).length
    while (!over.signal.aborted) {
      // Of those that came least often, any.
      const least = Math.min(...troubles.map(({ what }) => times(what)))
      const due = troubles.filter(({ what }) => times(what) === least)
      const trouble = due[Math.floor(Math.random() * due.length)]
      if (trouble === undefined) return
      const { what, targets, begin, end } = trouble
      const target = times(what) % targets
      const fault: Fault = { what, target: what === 'proxy' ? target + 1 : target, from: performance.now(), to: Infinity }
      faults.push(fault)
      await begin(world, target)
      await pause(lasts)
      await end(world, target)
      fault.to = performance.now()
      console.log(`${(fault.to / 1000).toFixed(0)} s: ${what} ${fault.target}, for ${((fault.to - fault.from) / 1000).toFixed(1)} s`)
      await pause(rests)
    }
  })()
  return async () => {
    over.abort()
    await going
  }
}
