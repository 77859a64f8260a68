// Whatever real servers answer, right or wrong, has the same status and the same shape through the gateway: where it passes
// through, where the protocol is said, and where Triton is asked over REST for callers of gRPC, and the other way round.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import { withoutGo } from '../cluster/build.ts'
import { until } from '../cluster/wait.ts'
import { serviceAt } from '../manifests.ts'
import { ensureGrpcurl } from './go.ts'
import { startServe, type Serving } from './serve.ts'
import { startKserve, startLlama, startMlserver, startTriton, type Llama, type OtherServer, type Triton } from './servers.ts'
import { kserveGrpc, llama as llamaCases, mlserver as mlserverCases, mlserverGrpc, triton as tritonCases, tritonGrpc, type Call, type Case } from './transcripts/cases.ts'
import { cannotRun } from './venv.ts'

type Answer = Readonly<{ status: number; type: string; shape: unknown }>

/** Every host is a route of its own. MLServer closes a connection after an error of its own, and does not say so: what finds it closed is tried again. */
const route = (name: string, address: string, protocol: string) => `
${serviceAt(name, address.split(':').at(-1) ?? '')}
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: ${name}}
spec:
  hostnames: [${name}.test]
  rules: [{name: all, backendRefs: [{variant: only, name: ${name}, port: 8000, protocol: ${protocol}}], retry: {attempts: 2, reasons: [reset-before-response, connect-failure], budgetPercent: 100}}]
---
`

function ask(base: string, host: string | undefined, { method = 'GET', path, headers = {}, body, chunked = false }: Case): Promise<Answer> {
  const url = new URL(path, base)
  return new Promise((resolve, reject) => {
    const length = body === undefined || chunked ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const call = request(url, { method, agent: false, headers: { ...(host !== undefined && { host: `${host}.test`, 'idempotency-key': path }), ...headers, ...length } }, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece)).on('error', reject).on('end', () => {
        const type = response.headers['content-type'] ?? ''
        const whole = unpacked(response.headers['content-encoding'], Buffer.concat(pieces))
        resolve({ status: response.statusCode ?? 0, type: type.split(';')[0] ?? '', shape: shapeOf(whole, Number(response.headers['inference-header-content-length'] ?? NaN)) })
      })
    })
    call.on('error', reject)
    if (headers['expect'] === undefined) call.end(body)
    else {
      call.flushHeaders()
      call.on('continue', () => call.end(body))
    }
  })
}

const unpack = new Map([['gzip', gunzipSync], ['deflate', inflateSync], ['br', brotliDecompressSync]])
const unpacked = (coding: string | undefined, body: Buffer): Buffer => unpack.get(coding ?? '')?.(body) ?? body

/** What a body is made of, without what it says: numbers and texts by their kind, lists by the kinds of what they hold. */
function shapeOf(body: Buffer, header: number): unknown {
  if (body.length === 0) return 'nothing'
  if (!Number.isNaN(header)) return [shapeOf(body.subarray(0, header), NaN), `${body.length - header} bytes`]
  const all = body.toString()
  if (all.startsWith('data: ')) return [...new Set(all.split('\n\n').filter((one) => one !== '').map((one) => JSON.stringify(textShape(one.slice(6)))))]
  return textShape(all)
}

function textShape(text: string): unknown {
  try {
    return kindOf(JSON.parse(text))
  } catch {
    return 'text'
  }
}

/** The order of members, and members that are there or not by what a model happens to say, are no matter of shape. */
function kindOf(value: unknown): unknown {
  if (Array.isArray(value)) return [...new Set(value.map((one) => JSON.stringify(kindOf(one))))].toSorted()
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, one]) => [name, kindOf(one)]))
}

suite('transcripts', { skip: await cannotRun() || await withoutGo() }, () => {
  let triton: Triton
  let llama: Llama
  let mlserver: OtherServer
  let kserve: OtherServer
  let gateway: Serving
  let grpcurl: string

  before(async () => {
    grpcurl = await ensureGrpcurl();
    [triton, llama, mlserver, kserve] = await Promise.all([
      startTriton({
        models: [join(import.meta.dirname, 'models'), join(import.meta.dirname, 'transcripts/models')],
        args: ['--model-control-mode=explicit', '--load-model=*', '--exit-on-error=false', '--strict-readiness=false'],
      }), startLlama(), startMlserver(join(import.meta.dirname, 'transcripts/mlserver')), startKserve(),
    ])
    gateway = await startServe([
      route('triton', triton.http, 'Passthrough'), route('triton-v2', triton.http, 'V2'), route('triton-grpc', triton.grpc, 'GRPC'), route('triton-raw', triton.grpc, 'Passthrough'),
      route('llama', llama.url, 'Passthrough'), route('llama-openai', llama.url, 'OpenAI'),
      route('mlserver', mlserver.http, 'Passthrough'), route('mlserver-v2', mlserver.http, 'V2'), route('mlserver-raw', mlserver.grpc, 'Passthrough'), route('mlserver-grpc', mlserver.grpc, 'GRPC'),
      route('kserve-raw', kserve.grpc, 'Passthrough'), route('kserve-grpc', kserve.grpc, 'GRPC'),
    ].join(''), '--log-level', 'error')
    for (const name of ['triton', 'triton-v2', 'triton-grpc', 'llama', 'mlserver', 'mlserver-grpc', 'kserve-grpc']) await until(name, async () => (await ask(through(), name, { name, path: name === 'llama' ? '/health' : '/v2/health/ready' })).status === 200)
  }, { timeout: 600_000 })
  after(async () => {
    await Promise.all([gateway?.stop(), triton?.stop(), llama?.stop(), mlserver?.stop(), kserve?.stop()])
  })

  const through = () => gateway.urls['http'] ?? ''

  for (const [server, cases, hosts] of [['triton', tritonCases, ['triton', 'triton-v2']], ['llama', llamaCases, ['llama', 'llama-openai']], ['mlserver', mlserverCases, ['mlserver', 'mlserver-v2']]] as const) {
    test(`${cases.length} requests to ${server} are answered alike directly and through the gateway`, { timeout: 120_000 }, async () => {
      // One list after the other: models are unloaded and loaded in them.
      const direct: Answer[] = []
      for (const one of cases) direct.push(await ask({ triton: triton.http, llama: llama.url, mlserver: mlserver.http }[server], undefined, one))
      for (const host of hosts) {
        for (const [at, one] of cases.entries()) {
          const ours = await ask(through(), host, one)
          assert.deepEqual(one.varies === true ? { ...ours, shape: direct[at]?.shape } : ours, direct[at], `${host}: ${one.name}`)
        }
      }
    })
  }

  test('requests over REST have the same class of status and the same shape from Triton over gRPC, but for what is said why', { timeout: 120_000 }, async () => {
    for (const one of tritonCases) {
      const [direct, ours] = [await ask(triton.http, undefined, one), await ask(through(), 'triton-grpc', one)]
      const { crossed } = one
      if (crossed !== undefined) {
        assert.equal(ours.status, crossed[0], one.name)
        continue
      }
      assert.equal(Math.floor(ours.status / 100), Math.floor(direct.status / 100), one.name)
      // Where Triton says nothing beside its status, clients of others look for a word.
      if (direct.shape !== 'nothing') assert.deepEqual(ours.shape, direct.shape, one.name)
    }
  })

  const call = (host: string, { method, messages, deadline }: Call, authority?: string): Promise<{ code: number; answers: unknown }> =>
    new Promise((resolve, reject) => {
      const words = ['-plaintext', '-import-path', join(import.meta.dirname, 'grpc'), '-proto', 'inference.proto', ...(deadline === undefined ? [] : ['-max-time', String(deadline)]),
        ...(authority === undefined ? [] : ['-authority', `${authority}.test`]), '-d', '@', host, `inference.GRPCInferenceService/${method}`]
      const child = spawn(grpcurl, words, { stdio: ['pipe', 'pipe', 'pipe'], timeout: 30_000 })
      let [out, err] = ['', '']
      child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text })
      child.stderr.setEncoding('utf8').on('data', (text: string) => { err += text })
      // Its exit code is 64 and the status of gRPC; below that it is its own.
      child.on('close', (code) => {
        if (code !== 0 && (code ?? 0) < 64) reject(new Error(`grpcurl ${method}: ${err}`))
        else resolve({ code: code === 0 ? 0 : (code ?? 0) - 64, answers: out.split('\n}\n').filter((one) => one !== '').map((one) => textShape(`${one}\n}`)) })
      })
      child.stdin.end(messages.map((one) => JSON.stringify(one)).join('\n'))
    })

  for (const [server, calls, hosts] of [['triton', tritonGrpc, ['raw', 'grpc', 'v2']], ['mlserver', mlserverGrpc, ['raw', 'grpc']], ['kserve', kserveGrpc, ['raw', 'grpc']]] as const) {
    test(`${calls.length} calls of gRPC to ${server} are answered alike directly and through the gateway: ${hosts.join(', ')}`, { timeout: 180_000 }, async () => {
      for (const one of calls) {
        const direct = await call({ triton, mlserver, kserve }[server].grpc, one)
        for (const host of hosts) assert.deepEqual(await call(new URL(through()).host, one, `${server}-${host}`), direct, `${host}: ${one.name}`)
      }
    })
  }
})
