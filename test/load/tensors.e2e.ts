// Large tensors between protocols: in bounded memory, and while they are read and written others are answered.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, suite, test } from 'node:test'
import { writeJson } from '../../dataplane/tensors/write_json.ts'
import { adopt, temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { routeTo } from '../manifests.ts'

const MiB = 1_048_576
/** Milliseconds of processor time that a turn of the event loop may take, with room for a machine that is busy. */
const turnMax = 40

const route = (name: string, port: number, protocol: string) =>
  routeTo(name, port, { matches: `{path: {type: PathPrefix, value: /v2/models/${name}}}`, protocol, more: ['sizeLimits: {request: 512Mi, response: 512Mi}'] })

suite('large tensors', () => {
  let gateway: ChildProcess
  let url = ''
  const turns: number[] = []
  const backends: ChildProcess[] = []

  async function backend(bytes: number): Promise<number> {
    const child = spawn(process.execPath, [join(import.meta.dirname, '../../bench/tensors/backend.ts'), String(bytes)], { stdio: ['ignore', 'pipe', 'inherit'] })
    adopt(child)
    backends.push(child)
    const [line] = await once(createInterface({ input: child.stdout }), 'line') as [string]
    return (JSON.parse(line) as { ports: [number, number] }).ports[1]
  }

  before(async () => {
    const [large, small] = await Promise.all([backend(64 * MiB), backend(MiB)])
    const file = join(temporaryFolder('tensors'), 'all.yaml')
    writeFileSync(file, route('large', large, 'GRPC') + route('small', small, 'GRPC'))
    const ports = ['--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0', '--control-port', '0']
    const args = ['--import', join(import.meta.dirname, 'fixtures/turns.ts'), join(import.meta.dirname, '../../cli/modelroute.js'), 'serve', '-f', file, ...ports]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    gateway = child
    adopt(child)
    createInterface({ input: child.stderr }).on('line', (line) => {
      const longest = /^longest turn (?<ms>[\d.]+)/.exec(line)?.groups?.['ms']
      if (longest !== undefined) turns.push(Number(longest))
    })
    const urls = new Map<string | undefined, string>()
    createInterface({ input: child.stdout }).on('line', (line) => {
      const said = JSON.parse(line) as { name?: string; url?: string }
      if (said.url !== undefined) urls.set(said.name, said.url)
    })
    // It listens before it has a table, and says 503 until then.
    await until('the gateway to be ready', async () => (await fetch(`${urls.get('admin')}/readyz`)).ok && urls.has('http'), { timeout: 120_000, every: 20 })
    url = urls.get('http') ?? ''
    await post('small', new Map(), true, Buffer.alloc(4))
  }, { timeout: 240_000 })

  after(() => {
    for (const child of [gateway, ...backends]) child?.kill('SIGKILL')
  })

  const resident = () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))?.[1]) / 1024

  async function longestTurn(): Promise<number> {
    const seen = turns.length
    gateway.kill('SIGUSR2')
    while (turns.length === seen) await new Promise((resolve) => { setTimeout(resolve, 10) })
    return turns.at(-1) ?? 0
  }

  /** One FP32 tensor to a model; bytes of the answer. */
  function post(model: string, parameters: ReadonlyMap<string, boolean>, binary: boolean, data: Buffer): Promise<number> {
    const tensor = { name: 'x', datatype: 'FP32', shape: [data.length / 4], parameters: new Map(), data }
    const written = writeJson('inputs', { model: '', version: '', id: '', parameters, outputs: [], tensors: [tensor] }, () => binary)
    assert.ok('pieces' in written)
    const length = written.pieces.reduce((sum, piece) => sum + piece.length, 0)
    return new Promise((resolve, reject) => {
      const headers = { 'content-length': length, ...(written.header !== undefined && { 'inference-header-content-length': written.header }) }
      const call = request(`${url}/v2/models/${model}/infer`, { method: 'POST', headers }, (response) => {
        let size = 0
        response.on('data', (chunk: Buffer) => { size += chunk.length })
        response.on('end', () => { if (response.statusCode === 200) resolve(size); else reject(new Error(`answered with ${response.statusCode}`)) })
        response.on('error', reject)
      })
      call.on('error', reject)
      for (const piece of written.pieces) call.write(piece)
      call.end()
    })
  }

  const numbers = (bytes: number) => Buffer.from(Float32Array.from({ length: bytes / 4 }, (_, i) => Math.sin(i)).buffer)

  for (const { name, model, bytes, binary, times, growth } of [
    { name: '64 MiB in binary, there and back', model: 'large', bytes: 64 * MiB, binary: true, times: 6, growth: 160 },
    { name: '8 MiB in 40 MB of JSON, and 1 MiB back in JSON', model: 'small', bytes: 8 * MiB, binary: false, times: 6, growth: 512 },
  ]) {
    test(`${name}: in bounded memory, and no turn is long`, { timeout: 240_000 }, async (t) => {
      const data = numbers(bytes)
      const before = resident()
      let peak = before
      const watch = setInterval(() => { peak = Math.max(peak, resident()) }, 20)
      await longestTurn()
      for (let n = 0; n < times; n++) assert.ok(await post(model, new Map([['binary_data_output', binary]]), binary, data) > MiB)
      clearInterval(watch)
      const turn = await longestTurn()
      t.diagnostic(`${name}: the longest turn took ${turn} ms of processor time; ${(peak - before).toFixed(0)} MiB more at most`)
      assert.ok(turn < turnMax, `${turn} ms`)
      assert.ok(peak - before < growth, `${peak - before} MiB`)
    })
  }
})
