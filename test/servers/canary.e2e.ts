// The gateway in front of real model servers, from files: a canary between two versions of a Triton model, told by the
// answers themselves, and what must pass through unchanged.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, suite, test } from 'node:test'
import { adopt, temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { inTime, watchMachine } from '../machine.ts'
import { startLlama, startTriton } from './servers.ts'
import type { Llama, Triton } from './servers.ts'
import { cannotRun } from './venv.ts'

/** A Service of one endpoint, as the files of a laptop would have it. */
function backend(name: string, origin: string): object[] {
  const { hostname, port } = new URL(origin)
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports: [{ name: 'http', port: 8000 }] } },
    {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4',
      metadata: { name, labels: { 'kubernetes.io/service-name': name } },
      ports: [{ name: 'http', port: Number(port) }], endpoints: [{ addresses: [hostname] }],
    },
  ]
}

function route(name: string, path: string, backendRefs: object[]): object {
  return {
    apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name },
    spec: { rules: [{ name: 'all', matches: [{ path: { type: 'PathPrefix', value: path } }], backendRefs }] },
  }
}

/** `modelroute serve` over the folder, on free ports. */
async function serve(folder: string): Promise<{ url: string, stop: () => Promise<void> }> {
  const program = join(import.meta.dirname, '../../cli/modelroute.js')
  const ports = ['--http-port', '0', '--admin-port', '0', '--control-port', '0']
  const child = spawn(process.execPath, [program, 'serve', '-f', folder, '--host', '127.0.0.1', ...ports],
    { stdio: ['ignore', 'pipe', 'inherit'] })
  adopt(child)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`serve ended with ${code}`)))
    createInterface(child.stdout).on('line', (line) => {
      const { msg, name, url } = JSON.parse(line) as { msg: string, name?: string, url?: string }
      if (msg === 'listening' && name === 'http' && url) resolve(url)
    })
  })
  return {
    url,
    stop: () => {
      child.kill('SIGTERM')
      return ended
    },
  }
}

suite('the gateway before real model servers', { skip: await cannotRun() }, () => {
  let triton: Triton
  let llama: Llama
  let gateway: Awaited<ReturnType<typeof serve>>
  let folder: string

  const write = (name: string, objects: object[]) =>
    writeFileSync(join(folder, `${name}.yaml`), objects.map((object) => JSON.stringify(object)).join('\n---\n'))
  const split = (stable: number, canary: number) => write('add', [route('add', '/v2/models', [
    { variant: 'stable', name: 'triton', port: 8000, weight: stable, model: { version: '1' } },
    { variant: 'canary', name: 'triton', port: 8000, weight: canary, model: { version: '2' } },
  ])])

  before(async () => {
    [triton, llama] = await Promise.all([startTriton(), startLlama()])
    folder = temporaryFolder('canary')
    write('services', [...backend('triton', triton.http), ...backend('llama', llama.url)])
    write('chat', [route('chat', '/v1', [{ variant: 'only', name: 'llama', port: 8000 }])])
    split(80, 20)
    gateway = await serve(folder)
    await until('the table to be in force', async () => (await infer()).status === 200)
  })
  after(async () => {
    await Promise.all([gateway?.stop(), triton?.stop(), llama?.stop()])
  })

  const tensor = (name: string, data: number[]) => ({ name, datatype: 'FP32', shape: [data.length], data })
  const request = JSON.stringify({ inputs: [tensor('A', [1, 2]), tensor('B', [3, 4])] })
  const infer = async () => {
    const response = await fetch(`${gateway.url}/v2/models/add/infer`, { method: 'POST', body: request })
    const body = await response.json() as { model_version: string, outputs: [{ data: number[] }] }
    return { status: response.status, variant: response.headers.get('x-modelroute-variant'), body }
  }
  const expected: Record<string, unknown> = { stable: ['1', [4, 6]], canary: ['2', [1004, 1006]] }

  test('the split shows in the answers, and every answer is of the variant it says', async () => {
    const counts: Record<string, number> = { stable: 0, canary: 0 }
    for (let i = 0; i < 200; i++) {
      const { status, variant, body } = await infer()
      assert.equal(status, 200)
      assert.deepEqual([body.model_version, body.outputs[0].data], expected[variant ?? ''])
      counts[variant ?? '']!++
    }
    assert.ok(Math.abs(counts['stable']! - 160) <= 1, JSON.stringify(counts))
  })

  test('an edit of the file moves the traffic within a second', async (t) => {
    const machine = watchMachine()
    split(0, 100)
    const edited = performance.now()
    await until('five answers in a row to be of version 2', async () => {
      for (let i = 0; i < 5; i++) if ((await infer()).body.model_version !== '2') return false
      return true
    }, { timeout: 60_000, every: 10 })
    inTime(t, 'an edit', performance.now() - edited, 1_000, machine())
  })

  test("the server's own errors pass through as they are", async () => {
    const bad = JSON.stringify({ inputs: [tensor('A', [1])] })
    const ask = async (origin: string, path: string) => {
      const response = await fetch(origin + path, { method: 'POST', body: bad })
      return [response.status, response.headers.get('content-type'), await response.text()]
    }
    const direct = await ask(triton.http, '/v2/models/add/versions/2/infer')
    assert.equal(direct[0], 400)
    assert.deepEqual(await ask(gateway.url, '/v2/models/add/infer'), direct)
  })

  test('binary tensors pass through byte for byte', async () => {
    const header = JSON.stringify({
      inputs: ['A', 'B'].map((name) => ({ name, datatype: 'FP32', shape: [2], parameters: { binary_data_size: 8 } })),
      outputs: [{ name: 'SUM', parameters: { binary_data: true } }],
    })
    const numbers = Buffer.from(new Float32Array([1.5, -0, 3.25, Number.MAX_SAFE_INTEGER]).buffer)
    const body = Buffer.concat([Buffer.from(header), numbers])
    const headers = { 'inference-header-content-length': String(header.length), 'content-type': 'application/octet-stream' }
    const ask = async (origin: string, path: string) => {
      const response = await fetch(origin + path, { method: 'POST', body, headers })
      const length = response.headers.get('inference-header-content-length')
      return { status: response.status, length, body: Buffer.from(await response.arrayBuffer()).toString('hex') }
    }
    const direct = await ask(triton.http, '/v2/models/add/versions/2/infer')
    assert.equal(direct.status, 200)
    assert.deepEqual(await ask(gateway.url, '/v2/models/add/infer'), direct)
  })

  test('tokens of a chat arrive one by one, and are those that the server sent', async () => {
    const chat = async (origin: string) => {
      const response = await fetch(`${origin}/v1/chat/completions`, {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          model: 'tiny', stream: true, max_tokens: 64, temperature: 0, messages: [{ role: 'user', content: 'Good morning' }],
        }),
      })
      assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/)
      const text: string[] = []
      let reads = 0
      for await (const chunk of response.body!) {
        reads++
        text.push(Buffer.from(chunk).toString('utf8'))
      }
      const events = text.join('').trim().split('\n\n').map((event) => event.replace(/^data: /, ''))
      assert.equal(events.at(-1), '[DONE]')
      const words = events.slice(0, -1).map((event) =>
        (JSON.parse(event) as { choices: { delta?: { content?: string } }[] }).choices[0]?.delta?.content ?? '')
      return { words, reads }
    }
    const direct = await chat(llama.url)
    const through = await chat(gateway.url)
    assert.deepEqual(through.words, direct.words)
    assert.ok(through.words.length > 32, `${through.words.length} words`)
    // A caller that is held up by the machine reads many at once; held back by the gateway they would always come so.
    await until('tokens one by one', async () => (await chat(gateway.url)).reads > 3, { timeout: 60_000 })
  })
})
