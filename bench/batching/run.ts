import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { cpuOf, endAll, otherCore, proxyCore, said, start } from '../processes.ts'

/**
 * `npm run bench:batching [-- --cost MS --seconds N]`: predictions a second of a model whose calls take as long whatever their
 * rows, one by one and joined, for so many clients that each wait for their answer.
 */
const argument = (name: string, otherwise: number) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const [cost, seconds] = [argument('cost', 5), argument('seconds', 5)]

/** So many clients, for so long: predictions a second, and how long half of them and all but one of a hundred took. */
async function load(port: number, rule: string, clients: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const times: number[] = []
  let refused = 0
  const until = performance.now() + seconds * 1000
  const one = (x: number) => new Promise<void>((resolve, reject) => {
    const body = JSON.stringify({ id: String(x), inputs: [{ name: 'x', shape: [1], datatype: 'FP32', data: [x] }] })
    const sent = performance.now()
    request({ agent, host: '127.0.0.1', port, method: 'POST', path: '/v2/models/m/infer', headers: { 'content-type': 'application/json', 'x-rule': rule } }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('end', () => {
        if (answer.statusCode === 200) times.push(performance.now() - sent)
        if (text.includes(`"id":"${x}"`) && text.includes(`[${2 * x}]`)) resolve()
        // On a machine that has other work, it may be too busy for some.
        else if (answer.statusCode === 503) {
          refused++
          resolve()
        } else reject(new Error(`of ${x}: ${text}`))
      })
    }).on('error', reject).end(body)
  })
  let next = 0
  await Promise.all(Array.from({ length: clients }, async () => {
    while (performance.now() < until) await one(next++)
  }))
  agent.destroy()
  const sorted = times.toSorted((a, b) => a - b)
  return { refused, rate: times.length / seconds, median: sorted[Math.floor(sorted.length / 2)] ?? 0, late: sorted[Math.floor(sorted.length * 0.99)] ?? 0 }
}

try {
  const model = start(otherCore, [process.execPath, join(import.meta.dirname, 'model.ts'), String(cost)])
  const { port: backend } = await said<{ port: number }>(model) ?? { port: 0 }
  const proxy = start(proxyCore, [process.execPath, join(import.meta.dirname, 'proxy.ts'), String(backend)])
  const { port } = await said<{ port: number }>(proxy) ?? { port: 0 }
  console.log(`a model of ${cost} ms a call; up to 32 rows, up to 5 ms`)
  for (const clients of [1, 8, 64]) {
    for (const rule of ['single', 'joined']) {
      const before = await cpuOf(proxy.pid)
      const { rate, median, late, refused } = await load(port, rule, clients)
      const cpu = (await cpuOf(proxy.pid) - before) / (rate * seconds)
      console.log(`${String(clients).padStart(3)} clients, ${rule}: ${rate.toFixed(0).padStart(6)} a second, half within ${median.toFixed(1)} ms, 99 % within ${late.toFixed(1)} ms, ${cpu.toFixed(0)} µs of the proxy's CPU each${refused > 0 ? `, ${refused} refused: the machine is busy` : ''}`)
    }
  }
} finally {
  await endAll()
}
