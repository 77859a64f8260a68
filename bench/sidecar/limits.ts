import { forget } from '../cold.ts'
import { median } from '../report.ts'
import { startProbe } from './probe.ts'
import type { Rig } from './rig.ts'

/** MiB, the largest first. */
const limits = [undefined, 128, 120, 112, 104, 96, 88, 80, 72, 64]
const requests = 5_000
const connections = 16
/** Milliseconds: a server that cannot do it in this is of no use. */
const patience = 10_000

/** Seconds that the requests took; undefined where not all were answered as they should be. */
async function serve(url: string, headers: Rig['headers']): Promise<number | undefined> {
  const began = performance.now()
  const signal = AbortSignal.timeout(patience)
  let left = requests
  const one = async () => {
    while (left-- > 0) {
      const answer = await fetch(`${url}/v2/models/fraud/infer`, { method: 'POST', headers, body: '{"inputs":[]}', signal })
      await answer.text()
      if (!answer.ok) throw new Error(`${answer.status} is no answer`)
    }
  }
  return await Promise.all(Array.from({ length: connections }, one)).then(() => (performance.now() - began) / 1000, () => undefined)
}

/** What was measured of one start; what it did not come to is not there. */
type Row = Readonly<Partial<Record<'ready' | 'before' | 'took' | 'meanwhile' | 'usage' | 'workingSet', number>>>

async function measure(rig: Rig, node: string, compiled: string, limit: number | undefined, serving: boolean): Promise<Row> {
  forget(node)
  const probe = await startProbe(rig, { mode: 'server', node, compiled, ...limit === undefined ? {} : { limit } })
  try {
    if (probe.ready === undefined) return {}
    const before = probe.charged()?.refaults ?? Number.NaN
    const started = { ready: probe.ready, before }
    const took = serving ? await serve(probe.url, rig.headers) : undefined
    if (took === undefined) return started
    const { usage, workingSet, refaults } = probe.charged() ?? { usage: Number.NaN, workingSet: Number.NaN, refaults: Number.NaN }
    return { ...started, took, meanwhile: refaults - before, usage, workingSet }
  } finally {
    await probe.end()
  }
}

const columns = [['ready', 0], ['before', 0], ['took', 1], ['meanwhile', 0], ['usage', 1], ['workingSet', 1]] as const

/** The table of how a server starts, the first one on its machine, and serves within so much memory. */
export async function* ofLimits(rig: Rig, node: string, rounds: number): AsyncGenerator<string> {
  yield `| limit MiB | ready ms | pages read again | ${requests} requests s | pages read again | charged MiB | working set MiB |`
  yield `| ---: |${' ---: |'.repeat(columns.length)}`
  let serving = true
  for (const limit of limits) {
    const rows: Row[] = []
    for (let round = 0; round < rounds; round++) rows.push(await measure(rig, node, rig.at(`limited-${limit}-${round}`), limit, serving))
    const cells = columns.map(([key, digits]) => {
      const values = rows.map((row) => row[key]).filter((value) => value !== undefined)
      return values.length < rows.length ? '–' : median(values).toFixed(digits)
    })
    yield `| ${[limit ?? 'none', ...cells].join(' | ')} |`
    // With less it does not get better, and waiting for it takes long.
    if (rows.some(({ ready }) => ready === undefined)) return
    serving &&= rows.every(({ took }) => took !== undefined)
  }
}
