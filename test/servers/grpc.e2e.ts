// gRPC through the gateway to a real Triton: what its clients make of it is what they make of the server itself.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { withoutGo } from '../cluster/build.ts'
import { until } from '../cluster/wait.ts'
import { ensureGhz, ensureGrpcurl } from './go.ts'
import { backend, startServe, type Serving } from './serve.ts'
import { startTriton, type Triton } from './servers.ts'
import { cannotRun, ensureVenv, type Venv } from './venv.ts'

const run = promisify(execFile)
const options = { timeout: 60_000, maxBuffer: 64 * 1024 * 1024 }
const folder = join(import.meta.dirname, 'grpc')
const service = 'inference.GRPCInferenceService'

const add = (version = '', numbers: readonly number[] = [1, 2]) => ({
  model_name: 'add', model_version: version, id: 'q',
  inputs: ['A', 'B'].map((name) => ({ name, datatype: 'FP32', shape: [numbers.length], contents: { fp32_contents: numbers } })),
})
const slow = (seconds: number) => ({
  model_name: 'slow', inputs: [{ name: 'SECONDS', datatype: 'FP32', shape: [1], contents: { fp32_contents: [seconds] } }],
})

type Said = Readonly<{ code: number; out: string; err: string }>
type Report = Readonly<{ count: number; statusCodeDistribution: Record<string, number>; p50: number }>

suite('gRPC through the gateway', { skip: await cannotRun() || await withoutGo() }, () => {
  let triton: Triton
  let gateway: Serving
  let venv: Venv
  let grpcurl: string
  let ghz: string
  let through = ''

  before(async () => {
    grpcurl = await ensureGrpcurl()
    ghz = await ensureGhz();
    [triton, venv] = await Promise.all([startTriton(), ensureVenv('sdk')])
    gateway = await startServe(backend('triton', [Number(triton.grpc.split(':')[1])], `/${service}`))
    through = new URL(gateway.urls['http'] ?? '').host
  }, { timeout: 600_000 })
  after(async () => {
    await Promise.all([gateway?.stop(), triton?.stop()])
  })

  const call = (host: string, method: string, messages: readonly unknown[], ...more: string[]): Promise<Said> =>
    new Promise((resolve) => {
      const words = ['-plaintext', '-import-path', folder, '-proto', 'inference.proto', '-format-error', ...more, '-d', '@', host, `${service}/${method}`]
      const child = spawn(grpcurl, words, { stdio: ['pipe', 'pipe', 'pipe'], timeout: 30_000 })
      let [out, err] = ['', '']
      child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text })
      child.stderr.setEncoding('utf8').on('data', (text: string) => { err += text })
      child.on('close', (code) => resolve({ code: code ?? -1, out, err }))
      child.stdin.end(messages.map((one) => JSON.stringify(one)).join('\n'))
    })

  /** grpcurl's words are the same with and without the gateway. */
  async function same(method: string, messages: readonly unknown[], ...more: string[]): Promise<Said> {
    const [direct, ours] = [await call(triton.grpc, method, messages, ...more), await call(through, method, messages, ...more)]
    assert.deepEqual(ours, direct)
    return ours
  }

  test('grpcurl: health, a model that is there and one that is not, both versions, wrong input', { timeout: 120_000 }, async () => {
    assert.match((await same('ServerLive', [{}])).out, /"live": true/)
    assert.match((await same('ModelReady', [{ name: 'add' }])).out, /"ready": true/)
    const [one, two] = [await same('ModelInfer', [add('1')]), await same('ModelInfer', [add()])]
    assert.match(one.out, /"modelVersion": "1"/)
    assert.match(two.out, /"modelVersion": "2"/)
    assert.match((await same('ModelInfer', [{ ...add(), model_name: 'none' }])).err, /"code": 5/)
    assert.match((await same('ModelInfer', [{ model_name: 'add' }])).err, /"code": 3/)
    assert.match((await same('ModelInfer', [{ ...add(), inputs: add('', [1, 2]).inputs.map((input, n) => n === 0 ? input : { ...input, shape: [1], contents: { fp32_contents: [1] } }) }])).err, /"code": /)
  })

  test('grpcurl: a stream of requests is a stream of answers, and an error in it does not end it', { timeout: 60_000 }, async () => {
    const { out } = await same('ModelStreamInfer', [add('', [1]), add('1', [1, 2, 3]), { ...add(), model_name: 'none' }, add('', [4])])
    assert.equal(out.match(/"inferResponse"/g)?.length, 4)
    assert.match(out, /unknown model/)
  })

  test('grpcurl: a deadline that passes is DEADLINE_EXCEEDED, and the gateway has let the call go', { timeout: 60_000 }, async () => {
    for (const host of [triton.grpc, through]) assert.match((await call(host, 'ModelInfer', [slow(3)], '-max-time', '0.5')).err, /"code": 4/)
    // What the caller asked for is a limit here too, whoever noticed it first; the server alone would need three seconds.
    const long = () => gateway.lines.find((line) => Number(line['duration_ms']) > 300)
    await until('its line', () => Promise.resolve(long() !== undefined), { timeout: 5000 })
    const line = long()
    assert.ok(line?.['code'] === 'timeout' || line?.['code'] === 'client_closed' || line?.['grpc_status'] === 4, JSON.stringify(line))
    assert.ok(Number(line['duration_ms']) < 2000, JSON.stringify(line))
    assert.equal((await same('ModelInfer', [slow(0.2)], '-max-time', '20')).code, 0)
  })

  test('grpcurl: what the gateway refuses is a status of gRPC, and stands in the log with the status', { timeout: 60_000 }, async () => {
    const refused = await new Promise<Said>((resolve) => {
      execFile(grpcurl, ['-plaintext', '-import-path', folder, '-proto', 'inference.proto', '-format-error', '-H', 'content_length: 3', '-d', '{}', through, `${service}/ServerLive`],
        (error, out, err) => resolve({ code: Number(error?.code ?? 0), out, err }))
    })
    assert.match(refused.err, /"code": 3/)
    await until('its line', () => Promise.resolve(gateway.lines.some((line) => line['code'] === 'invalid_request')), { timeout: 5000 })
    assert.equal(gateway.lines.find((line) => line['code'] === 'invalid_request')?.['grpc_status'], 3)
  })

  test('tritonclient: metadata, tensors, gzip and deflate, 8 MiB, a stream, errors, a deadline', { timeout: 180_000 }, async () => {
    const script = join(import.meta.dirname, 'sdk/triton_grpc.py')
    const [own, ours] = [await run(venv.python, [script, triton.grpc], options), await run(venv.python, [script, through], options)]
    assert.deepEqual(ours.stdout.split('\n'), own.stdout.split('\n'))
    assert.match(ours.stdout, /^live True True\n/)
    const answers = new Map(ours.stdout.split('\n').map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]))
    for (const name of ['gzip', 'deflate']) assert.equal(answers.get(name), answers.get('plain'))
    assert.equal(ours.stdout.match(/^stream None /gm)?.length, 20)
    assert.match(ours.stdout, /^error StatusCode\.NOT_FOUND /m)
    assert.match(ours.stdout, /^deadline StatusCode\.DEADLINE_EXCEEDED$/m)
  })

  async function load(host: string, ...more: string[]): Promise<Report> {
    const words = ['--insecure', '--proto', join(folder, 'inference.proto'), '--format', 'json', ...more, host]
    const { stdout } = await run(ghz, words, options)
    const { count, statusCodeDistribution, latencyDistribution } = JSON.parse(stdout) as
      { count: number; statusCodeDistribution: Record<string, number>; latencyDistribution: { percentage: number; latency: number }[] }
    const p50 = (latencyDistribution.find(({ percentage }) => percentage === 50)?.latency ?? 0) / 1e6
    return { count, statusCodeDistribution, p50 }
  }

  test('ghz: 4,000 unary calls over 4 connections, 50 at once, plain and gzip: every one is OK', { timeout: 120_000 }, async (t) => {
    const words = ['--call', `${service}/ModelInfer`, '-d', JSON.stringify(add()), '-n', '2000', '-c', '50', '--connections', '4']
    const direct = await load(triton.grpc, ...words)
    for (const more of [[], ['--enable-compression']]) {
      const report = await load(through, ...words, ...more)
      assert.deepEqual(report.statusCodeDistribution, { OK: 2000 })
      t.diagnostic(`${more.join('') || 'plain'}: p50 ${report.p50.toFixed(2)} ms, Triton by itself ${direct.p50.toFixed(2)} ms`)
    }
  })

  test('ghz: 300 calls of streams both ways, 200 at once on one connection: every one is OK', { timeout: 120_000 }, async () => {
    const messages = JSON.stringify([add('', [1]), add('1', [1, 2]), add('', [3])])
    const report = await load(through, '--call', `${service}/ModelStreamInfer`, '-d', messages, '-n', '300', '-c', '200', '--connections', '1')
    assert.deepEqual(report.statusCodeDistribution, { OK: 300 })
  })
})
