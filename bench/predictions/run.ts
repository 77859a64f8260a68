import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { cpuOf, endAll, otherCore, outputOf, proxyCore, said, start } from '../processes.ts'
import { median } from '../report.ts'
import { startRig, usualBody } from '../rig.ts'

/**
 * `npm run bench:predictions [-- --rounds N] [--ms N]`: what logging predictions costs, of requests of 1 KiB beside the same
 * without it: a tenth of them redacted, and all of them without bodies, redacted, and whole, into a file, statistics too. One
 * proxy alone on one core; the rounds of all take turns, and each is compared with the round beside it.
 */
const argument = (name: string, otherwise: number) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const [rounds, ms] = [argument('rounds', 8), argument('ms', 1500)]
const folder = await mkdtemp(join(tmpdir(), 'bench-predictions-'))

try {
  await outputOf(otherCore, ['taskset', '-cp', String(otherCore), String(process.pid)])
  const rig = await startRig()
  const proxy = start(proxyCore, [process.execPath, join(import.meta.dirname, 'proxy.ts'), String(rig.ports[0]), join(folder, 'log')])
  const admin = (await said<{ admin: string }>(proxy))?.admin ?? ''
  const port = (await said<{ port: number }>(proxy))?.port ?? 0
  console.log(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores; Node ${process.version}\n`)

  const probe = async (name: string, time: number) => {
    const before = await cpuOf(proxy.pid)
    const result = await rig.run({ kind: 'closed', port, path: '/v2/models/fraud/infer', headers: { 'x-rule': name }, body: usualBody, connections: 32, ms: time })
    if (result.wrong > 0) throw new Error(`${name}: ${result.wrong} wrong answers`)
    return { rate: (result.done * 1000) / result.ms, cpu: (await cpuOf(proxy.pid) - before) / result.done, p99: result.p99 }
  }
  const names = ['open', 'tenth', 'heads', 'redacted', 'full'] as const
  for (const name of names) await probe(name, 1500)
  const probes = new Map<string, Awaited<ReturnType<typeof probe>>[]>()
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length] ?? ''
      probes.set(name, [...probes.get(name) ?? [], await probe(name, ms)])
    }
  }
  const open = probes.get('open') ?? []
  for (const name of names) {
    const own = probes.get(name) ?? []
    const more = median(own.map(({ cpu }, i) => cpu - (open[i]?.cpu ?? Number.NaN)))
    const rate = median(own.map((one, i) => one.rate / (open[i]?.rate ?? Number.NaN)))
    console.log(`${name}: ${median(own.map((one) => one.rate)).toFixed(0)} requests/s, ${median(own.map(({ cpu }) => cpu)).toFixed(1)} µs of CPU each, p99 ${median(own.map(({ p99 }) => p99)).toFixed(1)} ms`
      + (own === open ? '' : `; ${more.toFixed(1)} µs more, ${((1 - rate) * 100).toFixed(1)} % of throughput`))
  }
  const counts = (await (await fetch(`${admin}/metrics`)).text()).split('\n').filter((line) => /^modelroute_prediction(?:s|_events)_total/.test(line))
  console.log(`\n${counts.join('\n')}`)
} finally {
  await endAll()
  await rm(folder, { recursive: true, force: true })
}
