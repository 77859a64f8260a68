import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { adopt } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { otlpReceiver, spansIn, type TestSpan } from '../dataplane/otlp.ts'

/** Traces of the program as it is started by whoever reads docs/tracing.md: several processes, both transports, and the end. */

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/tracing.md'), 'utf8')
const block = (language: string) => new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'm').exec(page)?.[1] ?? ''

type Line = Readonly<Record<string, string | number | boolean | undefined>>

/** The command of the page, with more variables and flags. */
async function start(t: TestContext, endpoint: string, more: Readonly<Record<string, string>>, flags: readonly string[] = []) {
  const [, variables = '', words = ''] = /^(.*?)npx modelroute (.*)$/s.exec(block('bash').replaceAll('\\\n', ' ')) ?? []
  const env = Object.fromEntries(variables.trim().split(/\s+/).map((pair) => pair.split('=', 2)))
  const ports = ['--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0', '--control-port', '0']
  const child = spawn(process.execPath, [join(root, 'cli/modelroute.js'), ...words.trim().split(/\s+/), ...ports, ...flags], {
    cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, ...more },
  })
  adopt(child)
  t.after(() => child.kill('SIGKILL'))
  const ended = new Promise<number | null>((resolve) => { child.once('exit', resolve) })
  const lines: Line[] = []
  createInterface({ input: child.stdout }).on('line', (text) => lines.push(JSON.parse(text) as Line))
  const urlOf = (name: string) => String(lines.find((line) => line['name'] === name)?.['url'] ?? '')
  await until('the gateway to serve', async () => (await fetch(`${urlOf('admin')}/readyz`)).ok && urlOf('http') !== '', { timeout: 30_000, every: 20 })
  return {
    lines, urlOf,
    async end() {
      child.kill('SIGTERM')
      return ended
    },
  }
}

let traces = 0
async function ask(url: string, flags: string): Promise<string> {
  const id = (++traces).toString(16).padStart(32, '7')
  const headers = { 'content-type': 'application/json', traceparent: `00-${id}-${'b2'.repeat(8)}-${flags}` }
  await (await fetch(`${url}/v2/models/fraud/infer`, { method: 'POST', headers, body: '{}' })).text()
  return id
}

test('the command of the page: each of two processes sends what is kept, and nothing is lost at the end', { timeout: 60_000 }, async (t) => {
  const otlp = await otlpReceiver(t)
  const gateway = await start(t, process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? '', { OTEL_EXPORTER_OTLP_HEADERS: 'api-key=of-the-endpoint', OTEL_SERVICE_NAME: 'gateway' }, ['--workers', '2'])
  const { time: _, ...told } = gateway.lines.find(({ msg }) => msg === 'spans are made and sent') ?? {}
  assert.deepEqual(told, JSON.parse(block('json')))
  const kept: string[] = []
  for (let i = 0; i < 10; i++) {
    kept.push(await ask(gateway.urlOf('http'), '01'))
    await ask(gateway.urlOf('http'), '00')
  }
  // Five seconds before they would be sent.
  assert.equal(await gateway.end(), 0)
  assert.deepEqual(new Set(otlp.spans.map(({ trace }) => trace)), new Set(kept))
  assert.deepEqual([otlp.resource()['service.name'], otlp.heads[0]?.['api-key']], ['gateway', 'of-the-endpoint'])
  const logged = gateway.lines.filter(({ msg }) => msg === 'request')
  assert.ok(logged.length === 20 && logged.every((line) => /^7+[0-9a-f]+$/.test(String(line['trace_id']))), 'each line says what it is a part of, kept or not')
})

/** SPAN_KIND_INTERNAL */
const internal = 1

test('over gRPC', { timeout: 60_000 }, async (t) => {
  const spans: TestSpan[] = []
  const collector = new Server()
  collector.addService({
    Export: {
      path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export', requestStream: false, responseStream: false,
      requestDeserialize: (bytes: Buffer) => bytes, requestSerialize: (bytes: Buffer) => bytes, responseSerialize: (bytes: Buffer) => bytes, responseDeserialize: (bytes: Buffer) => bytes,
    },
  }, {
    Export(call: { request: Buffer }, done: (error: null, bytes: Buffer) => void) {
      spans.push(...spansIn(call.request))
      done(null, Buffer.alloc(0))
    },
  })
  t.after(() => collector.forceShutdown())
  const port = await new Promise<number>((resolve, reject) => {
    collector.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => error ? reject(error) : resolve(bound))
  })
  const gateway = await start(t, `http://127.0.0.1:${port}`, { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' })
  const id = await ask(gateway.urlOf('http'), '01')
  assert.equal(await gateway.end(), 0)
  // Beside those of filters that took their time: on a busy machine any may.
  assert.deepEqual(spans.filter(({ kind }) => kind !== internal).map(({ trace, kind }) => [trace, kind]), [[id, 3], [id, 2]])
})
