import { join } from 'node:path'
import { cpuOf, endAll, otherCore, outputOf, proxyCore, said, start } from '../processes.ts'
import { median } from '../report.ts'
import { startRig, usualBody } from '../rig.ts'

/**
 * `npm run bench:compose [-- --rounds N] [--seconds N]`: what a composition of two calls, one after the other, costs beside two
 * requests, in rounds that take turns.
 */
const argument = (name: string, otherwise: number) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const [rounds, seconds] = [argument('rounds', 6), argument('seconds', 2)]
const ways = ['direct', 'plain', 'bytes', 'mapped'] as const
/** Microseconds: of the proxy's processor, and of the clock for each of those that wait. */
type Probe = Readonly<{ cpu: number; took: number }>
try {
  await outputOf(otherCore, ['taskset', '-cp', String(otherCore), String(process.pid)])
  const rig = await startRig()
  const proxy = start(proxyCore, [process.execPath, join(import.meta.dirname, 'proxy.ts'), String(rig.ports[0])])
  const { port } = await said<{ port: number }>(proxy) ?? { port: 0 }
  const probe = async (way: typeof ways[number], connections: number, ms: number): Promise<Probe> => {
    const before = await cpuOf(proxy.pid)
    const infer = '/v2/models/fraud/infer'
    const to = way === 'direct' ? { port: rig.ports[0] ?? 0, path: infer } : { port, path: `/${way}${infer}` }
    const result = await rig.run({ kind: 'closed', ...to, headers: { 'content-type': 'application/json' }, body: usualBody, connections, ms })
    if (result.wrong > 0) throw new Error(`${way}: ${result.wrong} wrong answers`)
    return { cpu: (await cpuOf(proxy.pid) - before) / result.done, took: result.ms * 1000 * connections / result.done }
  }
  for (const way of ways) await probe(way, 32, 2000)
  const busy = new Map<string, number[]>(ways.map((way) => [way, []]))
  const alone = new Map<string, number[]>(ways.map((way) => [way, []]))
  for (let round = 0; round < rounds; round++) {
    for (const way of ways) {
      if (way !== 'direct') busy.get(way)?.push((await probe(way, 32, seconds * 1000)).cpu)
      alone.get(way)?.push((await probe(way, 1, seconds * 500)).took)
    }
  }
  const ratio = (of: Map<string, number[]>, way: string, to: string) => median((of.get(way) ?? []).map((one, i) => one / (2 * (of.get(to)?.[i] ?? Number.NaN)))).toFixed(2)
  const over = (way: string) => median((alone.get(way) ?? []).map((one, i) => one - 2 * (alone.get('direct')?.[i] ?? Number.NaN))).toFixed(0)
  console.log(`a forwarded request: ${median(busy.get('plain') ?? []).toFixed(1)} µs of CPU`)
  for (const [way, what] of [['bytes', 'bodies as they are'], ['mapped', 'mapped by expressions']] as const) {
    console.log(`two steps, ${what}: ${median(busy.get(way) ?? []).toFixed(1)} µs of CPU, ${ratio(busy, way, 'plain')} of two requests; `
      + `${median(alone.get(way) ?? []).toFixed(0)} µs for one client, ${ratio(alone, way, 'plain')} of two requests, and ${over(way)} µs more than two calls without a gateway`)
  }
} finally {
  await endAll()
}
