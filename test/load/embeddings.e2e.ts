// Requests of embeddings as large as people send, to a server of V2: with a bound on memory, and others are served meanwhile.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { serviceAt } from '../manifests.ts'
import { startServe } from '../servers/serve.ts'

const texts = 64
const width = 384
/** 640 kB, in 64 texts. */
const body = JSON.stringify({ model: 'e5', input: Array.from({ length: texts }, (_, i) => `${i} ${'some words of a longer text, '.repeat(345)}`), encoding_format: 'float' })
const rounds = 600
const atOnce = 16

/** A server of V2 that takes and gives binary tensors, and says so. */
function embedder() {
  const numbers = Buffer.from(Float32Array.from({ length: texts * width }, (_, i) => Math.sin(i)).buffer)
  const head = Buffer.from(JSON.stringify({ model_name: 'e5', outputs: [{ name: 'embedding', datatype: 'FP32', shape: [texts, width], parameters: { binary_data_size: numbers.length } }] }))
  const said = new Map([
    ['/v2', { name: 'x', version: '1', extensions: ['binary_tensor_data'] }],
    ['/v2/models/e5', { name: 'e5', inputs: [{ name: 'text_input', datatype: 'BYTES', shape: [-1] }], outputs: [{ name: 'embedding', datatype: 'FP32', shape: [-1, width] }] }],
  ])
  return createServer((asked, response) => {
    asked.resume().on('end', () => {
      const known = said.get(asked.url ?? '')
      if (known !== undefined) response.end(JSON.stringify(known))
      else response.writeHead(200, { 'inference-header-content-length': head.length, 'content-length': head.length + numbers.length }).end(Buffer.concat([head, numbers]))
    })
  })
}

const rssOf = (pid: number) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024

test(`${rounds} requests of ${Math.round(body.length / 1000)} kB for embeddings, ${atOnce} at once, take memory for those that are there`, { timeout: 200_000, skip: process.platform !== 'linux' }, async (t) => {
  const server = embedder()
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const gateway = await startServe(`${serviceAt('e5', (server.address() as AddressInfo).port)}
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: e5}
spec:
  rules: [{name: all, backendRefs: [{variant: only, name: e5, port: 8000, protocol: V2}]}]
`, '--log-level', 'error')
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce })
  t.after(async () => {
    agent.destroy()
    await gateway.stop()
    server.closeAllConnections()
    server.close()
  })

  const embed = () => new Promise<number>((resolve, reject) => {
    request(`${gateway.urls['http']}/v1/embeddings`, { agent, method: 'POST', headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } }, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece)).on('end', () => {
        if (response.statusCode !== 200) reject(new Error(`${response.statusCode}: ${Buffer.concat(pieces).toString().slice(0, 200)}`))
        else resolve(Buffer.concat(pieces).length)
      })
    }).on('error', reject).end(body)
  })
  const checked = await (await fetch(`${gateway.urls['http']}/v1/embeddings`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })).json() as { data: { embedding: number[] }[] }
  assert.equal(checked.data.length, texts)
  assert.equal(checked.data[1]?.embedding[1], Math.fround(Math.sin(width + 1)))

  const sizes: number[] = []
  const lags: number[] = []
  let sent = 0
  const began = performance.now()
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (sent++ < rounds) {
      await embed()
      if (sent % 20 === 0) {
        sizes.push(rssOf(gateway.pid))
        const asked = performance.now()
        await (await fetch(`${gateway.urls['admin']}/healthz`)).text()
        lags.push(performance.now() - asked)
      }
    }
  }))
  const seconds = (performance.now() - began) / 1000
  const [early, late] = [Math.max(...sizes.slice(0, sizes.length / 2)), Math.max(...sizes.slice(sizes.length / 2))]
  const metrics = await (await fetch(`${gateway.urls['admin']}/metrics`)).text()
  t.diagnostic(`${(rounds / seconds).toFixed(0)} requests/s; memory at most ${early.toFixed(0)} MiB in the first half, ${late.toFixed(0)} in the second; health answered in ${Math.max(...lags).toFixed(0)} ms at most; ${/modelroute_event_loop_lag_seconds.*/.exec(metrics.replaceAll(/^#.*$/gm, ''))?.[0]}`)
  assert.ok(late < 512, `${late} MiB`)
  // What is not given back adds up: every request brings 640 kB and takes as much.
  assert.ok(late < early + 128, `${early} MiB in the first half, ${late} in the second`)
})
