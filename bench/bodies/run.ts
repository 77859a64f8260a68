import { once } from 'node:events'
import { createServer } from 'node:http'
import { availableParallelism, cpus } from 'node:os'
import { join } from 'node:path'
import { cpuOf, endAll, otherCore, outputOf, proxyCore, said, start } from '../processes.ts'
import { median } from '../report.ts'
import { startRig, usualBody } from '../rig.ts'

/**
 * `npm run bench:bodies [-- --rounds N] [--ms N]`: what checking and changing bodies costs, of 1 KiB beside the same
 * request without it, and the longest turn of the event loop while bodies of megabytes are checked and changed. One proxy alone on
 * one core; the rounds of all take turns, and each is compared with the round beside it.
 */
const argument = (name: string, otherwise: number) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const [rounds, ms] = [argument('rounds', 6), argument('ms', 1500)]

const model = JSON.stringify({ name: 'fraud', inputs: [{ name: 'amount', datatype: 'FP32', shape: [-1] }], outputs: [] })
const describing = createServer((request, response) => {
  request.resume()
  request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end(request.method === 'GET' ? model : '{}'))
}).listen(0, '127.0.0.1')
await once(describing, 'listening')
const address = describing.address()

try {
  await outputOf(otherCore, ['taskset', '-cp', String(otherCore), String(process.pid)])
  const rig = await startRig()
  const port2 = typeof address === 'object' ? address?.port : undefined
  const open = async (...before: readonly string[]) => {
    const program = start(proxyCore, [...before, process.execPath, join(import.meta.dirname, 'proxy.ts'), String(rig.ports[0]), String(port2)])
    return { program, port: (await said<{ port: number }>(program))?.port ?? 0 }
  }
  const { program: proxy, port } = await open()
  console.log(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores; Node ${process.version}\n`)

  const path = '/v2/models/fraud/infer'
  const probe = async (name: string, time: number) => {
    const before = await cpuOf(proxy.pid)
    const result = await rig.run({ kind: 'closed', port, path, headers: { 'x-rule': name }, body: usualBody, connections: 32, ms: time })
    if (result.wrong > 0) throw new Error(`${name}: ${result.wrong} wrong answers`)
    return { rate: (result.done * 1000) / result.ms, cpu: (await cpuOf(proxy.pid) - before) / result.done }
  }
  const names = ['open', 'schema', 'remove', 'set', 'all', 'beside', 'model'] as const
  for (const name of names) await probe(name, 1500)
  const probes = new Map<string, Awaited<ReturnType<typeof probe>>[]>()
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length] ?? ''
      probes.set(name, [...probes.get(name) ?? [], await probe(name, ms)])
    }
  }
  for (const name of names) {
    const other = probes.get(name === 'model' ? 'beside' : 'open') ?? []
    const own = probes.get(name) ?? []
    const more = median(own.map((one, i) => one.cpu - (other[i]?.cpu ?? Number.NaN)))
    const rate = median(own.map((one, i) => one.rate / (other[i]?.rate ?? Number.NaN)))
    console.log(`${name}: ${median(own.map(({ rate }) => rate)).toFixed(0)} requests/s, ${median(own.map(({ cpu }) => cpu)).toFixed(1)} µs of CPU each`
      + (other === own || name === 'beside' ? '' : `; ${more.toFixed(1)} µs more, ${((1 - rate) * 100).toFixed(1)} % of throughput`))
  }

  console.log('')
  // Its other threads may have the other core, as on any machine with several.
  const { program: large, port: largePort } = await open('taskset', '-c', `${proxyCore},${otherCore}`)
  const longest = async () => {
    large.child.stdin?.write('\n')
    return (await said<{ turn: number }>(large))?.turn ?? Number.NaN
  }
  for (const mebi of [1, 4, 16]) {
    const count = Math.floor((mebi * 1_048_576 - 200) / 7)
    const body = `{"inputs":[{"name":"amount","datatype":"FP32","shape":[${count}],"data":[${Array.from({ length: count }, (_, i) => `0.${String(i % 9000 + 1000)}`).join()}]}]}`
    for (const name of ['open', 'schema', 'model', 'all'] as const) {
      const times: number[] = []
      const turns: number[] = []
      for (let i = 0; i < 6; i++) {
        await longest()
        const begun = performance.now()
        const answer = await fetch(`http://127.0.0.1:${largePort}${path}`, { method: 'POST', headers: { 'x-rule': name }, body })
        await answer.arrayBuffer()
        if (answer.status !== 200) throw new Error(`${name}: ${answer.status}`)
        times.push(performance.now() - begun)
        turns.push(await longest())
      }
      // The first starts the thread, and compiles.
      console.log(`${name}, a body of ${mebi} MiB: ${median(times.slice(1)).toFixed(0)} ms; the longest turn takes ${median(turns.slice(1)).toFixed(1)} ms of CPU (${Math.max(...turns.slice(1)).toFixed(1)} at most, ${turns[0]?.toFixed(1)} the first time)`)
    }
  }
} finally {
  describing.close()
  describing.closeAllConnections()
  await endAll()
}
