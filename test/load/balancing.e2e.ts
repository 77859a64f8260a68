import { Agent, request } from 'node:http'
import { test, type TestContext } from 'node:test'
import type { Balance } from '../../table/resilience.ts'
import { jobs, mean, percentile, type Job } from '../balancing/random.ts'
import { startModelServer } from '../balancing/server.ts'
import { testProxy } from '../dataplane/proxy.ts'
import { active, route, rule } from '../dataplane/table.ts'
import { runs } from '../runs.ts'
import { holds } from '../machine.ts'

/** Balancing over real sockets: simulated model servers with queues and metrics, three proxies, the same requests for each policy. */
const proxies = 3
/** What is compared for the documentation, and bound to nothing, is measured by `npm run test:load:long`. */
const told: Balance['policy'][] = runs(0, 1) > 0 ? ['LeastRequest'] : []

type World = Readonly<{ slower: readonly number[]; places: number; holds: number; jobs: readonly Job[] }>

/** Milliseconds that each request took. */
async function measure(t: TestContext, policy: Balance['policy'], { slower, places, holds, jobs: all }: World): Promise<number[]> {
  const servers = await Promise.all(slower.map((factor) => startModelServer(places, factor, holds)))
  const table = active('1', [route({ rules: [rule({ balance: { policy } })] })], { 'ml/s:80': servers.map(({ port }) => port) })
  const running = await Promise.all(Array.from({ length: proxies }, () => testProxy(t, table)))
  const agent = new Agent({ keepAlive: true, maxSockets: 1024 })
  const took: number[] = []
  const start = performance.now()
  await new Promise<void>((done, fail) => {
    const send = ({ at, takes }: Job, i: number): void => {
      setTimeout(() => {
        const sent = performance.now()
        const url = running[i % proxies]?.url ?? ''
        request(url, { agent, headers: { 'x-takes': takes } }, (response) => {
          response.resume().once('end', () => {
            if (response.statusCode !== 200) fail(new Error(`status ${response.statusCode}`))
            took.push(performance.now() - sent)
            if (took.length === all.length) done()
          })
        }).once('error', fail).end()
      }, Math.max(1, at - (performance.now() - start)))
    }
    for (const [i, job] of all.entries()) send(job, i)
  })
  agent.destroy()
  await Promise.all(running.map((proxy) => proxy.close()))
  for (const server of servers) server.close()
  return took
}

async function compare(t: TestContext, policies: readonly Balance['policy'][], world: World, name: string): Promise<Map<Balance['policy'], number[]>> {
  const found = new Map<Balance['policy'], number[]>()
  for (const policy of policies) {
    const took = await measure(t, policy, world)
    found.set(policy, took)
    t.diagnostic(`${name}, ${policy}: mean ${mean(took).toFixed(1)} ms, p50 ${percentile(took, 0.5).toFixed(1)}, p99 ${percentile(took, 0.99).toFixed(1)}`)
  }
  return found
}

const ones = (count: number): number[] => Array.from({ length: count }, () => 1)

test('one request in ten takes fifty times as long: InferenceAware is at 0.6 of the mean of RoundRobin or less', { timeout: 230_000 }, async (t) => {
  const [short, places] = [20, 4]
  const world: World = {
    slower: ones(8), places, holds: 4 * 50 * short, jobs: jobs(2500, { busy: 0.8, places: 8 * places, lengths: [[0.9, short], [0.1, 50 * short]] }),
  }
  await holds(t, {
    measure: async () => {
      const found = await compare(t, ['RoundRobin', ...told, 'InferenceAware'], world, 'uneven work')
      return mean(found.get('InferenceAware') ?? []) / mean(found.get('RoundRobin') ?? [])
    },
    windows: 2,
    fault: (ratio) => {
      t.diagnostic(`InferenceAware / RoundRobin: ${ratio.toFixed(2)}`)
      return ratio <= 0.6 ? undefined : `${ratio.toFixed(2)} of the mean of RoundRobin`
    },
  })
})

test('one of ten servers is twenty times slower: p99 of PeakEWMA is at 1.3 of that of nine good ones or less', { timeout: 230_000 }, async (t) => {
  const world = { places: 10, holds: 1e6, jobs: jobs(3000, { busy: 0.3, places: 90, lengths: [[0.5, 60], [0.3, 100], [0.2, 160]] }) }
  const slower = [...ones(9), 20]
  await holds(t, {
    measure: async () => {
      const good = percentile((await compare(t, ['PeakEWMA'], { ...world, slower: ones(9) }, 'nine good servers')).get('PeakEWMA') ?? [], 0.99)
      const slow = await compare(t, ['PeakEWMA', ...told], { ...world, slower }, 'and one slow by 20')
      // In turn it would get more than it can do, for as long as this goes on.
      const turns = await compare(t, ['RoundRobin'], { ...world, slower, jobs: world.jobs.slice(0, 600) }, 'and one slow by 20')
      return new Map([...slow, ...turns].map(([policy, took]) => [policy, percentile(took, 0.99) / good]))
    },
    windows: 2,
    fault: (ratios) => {
      const figures = [...ratios].map(([policy, ratio]) => `${policy} ${ratio.toFixed(2)}`).join(', ')
      t.diagnostic(`p99 against nine good ones: ${figures}`)
      return (ratios.get('PeakEWMA') ?? Infinity) <= 1.3 && (ratios.get('RoundRobin') ?? 0) > 5 ? undefined : figures
    },
  })
})
