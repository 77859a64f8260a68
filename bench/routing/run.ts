import { join } from 'node:path'
import { cpuOf, endAll, otherCore, outputOf, proxyCore, said, start } from '../processes.ts'
import { median } from '../report.ts'
import { startRig } from '../rig.ts'

/** `npm run bench:routing [-- --rounds N] [--seconds N]`: what it costs to be routed by a body, and to stand beside such rules, in rounds that take turns. */
const argument = (name: string, otherwise: number) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const [rounds, seconds] = [argument('rounds', 5), argument('seconds', 2)]

const body = (size: number, last = false) => {
  const rest = `"parameters":{"region":"eu"},"input":"${'x'.repeat(size)}"`
  return last ? `{${rest},"model":"bench"}` : `{"model":"bench",${rest}}`
}
const [small, large, late] = [body(1000), body(640_000), body(640_000, true)]

/** `by`: the proxy that is asked; `of`: what it is compared with. What asks for much in one process makes its code less special for all else. */
const cases = [
  { name: '1 KB, no rule of the table asks for a body', path: '/v1/completions', given: small, by: 'alone', of: 0 },
  { name: '1 KB, other rules of the host do', path: '/v1/completions', given: small, by: 'beside', of: 0 },
  { name: '1 KB, nothing asked, among requests of those', path: '/v1/completions', given: small, by: 'mixed', of: 0 },
  { name: '1 KB, by the model', path: '/v1/embeddings', given: small, by: 'mixed', of: 2 },
  { name: '1 KB, by a value', path: '/v1/moderations', given: small, by: 'mixed', of: 2 },
  { name: '1 KB, the model renamed', path: '/v1/responses', given: small, by: 'mixed', of: 2 },
  { name: '640 KB, nothing asked', path: '/v1/completions', given: large, by: 'mixed', of: 6 },
  { name: '640 KB, by the model, which comes first', path: '/v1/embeddings', given: large, by: 'mixed', of: 6 },
  { name: '640 KB, by the model, which comes last', path: '/v1/embeddings', given: late, by: 'mixed', of: 6 },
  { name: '640 KB, the model renamed', path: '/v1/responses', given: large, by: 'mixed', of: 6 },
] as const

try {
  await outputOf(otherCore, ['taskset', '-cp', String(otherCore), String(process.pid)])
  const rig = await startRig()
  const begin = async (...more: string[]) => {
    const proxy = start(proxyCore, [process.execPath, join(import.meta.dirname, 'proxy.ts'), String(rig.ports[0]), ...more])
    const { port } = await said<{ port: number }>(proxy) ?? { port: 0 }
    return { pid: proxy.pid, port }
  }
  const proxies = { alone: await begin('alone'), beside: await begin(), mixed: await begin() }
  const probe = async (one: (typeof cases)[number], ms: number) => {
    const { pid, port } = proxies[one.by]
    const before = await cpuOf(pid)
    const connections = one.given.length > 100_000 ? 8 : 32
    const result = await rig.run({ kind: 'closed', port, path: one.path, headers: { 'content-type': 'application/json' }, body: one.given, connections, ms })
    // A machine that has other work may be late enough for the gateway to shed a few.
    if (result.wrong > result.done / 1000) throw new Error(`${one.name}: ${result.wrong} wrong answers`)
    return (await cpuOf(pid) - before) / result.done
  }
  for (const one of cases) await probe(one, 1500)
  const measured: number[][] = cases.map(() => [])
  for (let round = 0; round < rounds; round++) for (const [at, one] of cases.entries()) measured[at]?.push(await probe(one, seconds * 1000))
  for (const [at, one] of cases.entries()) {
    const own = measured[at] ?? []
    const ratio = median(own.map((time, round) => time / (measured[one.of]?.[round] ?? Number.NaN)))
    console.log(`${one.name}: ${median(own).toFixed(1)} µs of CPU${at === one.of ? '' : `, ${ratio.toFixed(2)} of ${cases[one.of]?.name}`}`)
  }
} finally {
  await endAll()
}
