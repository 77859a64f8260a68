import { join } from 'node:path'
import { cpuOf, endAll, otherCore, outputOf, proxyCore, said, start } from '../processes.ts'
import { median } from '../report.ts'
import { startRig, usualBody } from '../rig.ts'

/** `npm run bench:cache [-- --rounds N] [--seconds N]`: what a hit costs beside a request that a backend answers, in rounds that take turns. */
const argument = (name: string, otherwise: number) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const [rounds, seconds] = [argument('rounds', 8), argument('seconds', 3)]
try {
  await outputOf(otherCore, ['taskset', '-cp', String(otherCore), String(process.pid)])
  const rig = await startRig()
  const proxy = start(proxyCore, [process.execPath, join(import.meta.dirname, 'proxy.ts'), String(rig.ports[0])])
  const { port } = await said<{ port: number }>(proxy) ?? { port: 0 }
  const probe = async (path: string, ms: number) => {
    const before = await cpuOf(proxy.pid)
    const result = await rig.run({ kind: 'closed', port, path: `/${path}/v2/models/fraud/infer`, headers: { 'content-type': 'application/json' }, body: usualBody, connections: 32, ms })
    if (result.wrong > 0) throw new Error(`${path}: ${result.wrong} wrong answers`)
    return (await cpuOf(proxy.pid) - before) / result.done
  }
  for (const name of ['plain', 'kept']) await probe(name, 3000)
  const [plain, kept]: number[][] = [[], []]
  for (let round = 0; round < rounds; round++) {
    plain?.push(await probe('plain', seconds * 1000))
    kept?.push(await probe('kept', seconds * 1000))
  }
  const shares = (kept ?? []).map((one, i) => one / (plain?.[i] ?? Number.NaN))
  console.log(`a request that a backend answers: ${median(plain ?? []).toFixed(1)} µs of CPU; a hit: ${median(kept ?? []).toFixed(1)} µs, ${median(shares).toFixed(2)} of it`)
} finally {
  await endAll()
}
