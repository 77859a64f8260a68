import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Client, credentials } from '@grpc/grpc-js'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'
import { FieldReader, MessageWriter } from '../dataplane/protocols/protobuf.ts'
import { testProxy } from './dataplane/proxy.ts'
import { httpUpstream } from './dataplane/sockets.ts'
import { bodyOf } from './dataplane/tries/rig.ts'
import { serviceAt } from './manifests.ts'

const root = join(import.meta.dirname, '..')
const same = (bytes: Buffer) => bytes

/** Answers a call of gRPC with what its message is. */
async function grpcEcho(t: TestContext): Promise<number> {
  const server = createServer()
  server.on('stream', (stream) => {
    const pieces: Buffer[] = []
    stream.on('error', () => {})
    stream.on('data', (piece: Buffer) => pieces.push(piece))
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(Buffer.concat(pieces))
    })
  })
  server.on('session', (session) => t.after(() => session.destroy()))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  const address = server.address()
  return typeof address === 'object' ? address?.port ?? 0 : 0
}

test('routing.md: an API of your own asks each server for the model and the version that it has', { timeout: 120_000 }, async (t) => {
  const page = await readFile(join(root, 'docs/routing.md'), 'utf8')
  const [, example = ''] = [...page.matchAll(/^```yaml\n([^]*?)^```/gm)].map(([, block = '']) => block)
  const dir = await mkdtemp(join(tmpdir(), 'modelroute-routing-'))
  t.after(() => rm(dir, { recursive: true }))
  const echo = (name: string) => httpUpstream(t, (request, response) => {
    void bodyOf(request).then((body) => response.end(`${name} ${request.url} ${body.toString()}`), () => {})
  })
  const services = await Promise.all(['churn-sklearn', 'triton', 'vllm', 'vllm-next'].map(async (name) => serviceAt(name, await echo(name), 'ml')))
  services.push(serviceAt('triton-grpc', await grpcEcho(t), 'ml').replace('port: 8000', 'port: 8001'))
  await writeFile(join(dir, 'route.yaml'), example)
  await writeFile(join(dir, 'services.yaml'), services.join('\n---\n'))
  const { snapshot, problems } = await readManifests([join(dir, 'route.yaml'), join(dir, 'services.yaml')])
  assert.deepEqual(problems, [])
  const { fleets, routes } = createCompiler({ allowUrls: [], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot)
  assert.deepEqual([...routes.values()].flatMap((route) => route.problems), [])
  const fleet = fleets.get('default')
  assert.ok(fleet)
  const { url } = await testProxy(t, { version: '1', ...fleet })
  const ask = async (path: string, body: string) => {
    const answer = await fetch(url + path, { method: 'POST', body })
    return [answer.headers.get('x-modelroute-variant'), await answer.text()]
  }
  assert.deepEqual(await ask('/v1/models/churn:predict', '{}'), ['stable', 'churn-sklearn /v1/models/churn-2024:predict {}'])
  assert.deepEqual(await ask('/v2/models/churn/infer', '{}'), ['next', 'triton /v2/models/churn-xgboost/versions/7/infer {}'])
  const chats = await Promise.all(Array.from({ length: 10 }, () => ask('/v1/chat/completions', '{"model":"assistant","n":1}')))
  const told = chats.map(([variant, text]) => `${variant} ${text}`).toSorted()
  assert.deepEqual(new Set(told), new Set([
    'canary vllm-next /v1/chat/completions {"model":"llama-3.3-8b","n":1}', 'stable vllm /v1/chat/completions {"model":"llama-3.1-8b","n":1}',
  ]))
  assert.equal(told.filter((text) => text.startsWith('canary')).length, 1)
  const client = new Client(new URL(url).host, credentials.createInsecure())
  t.after(() => client.close())
  const message = new MessageWriter().text(1, 'churn').text(3, 'id').whole()
  const answer = await new Promise<Buffer>((resolve, reject) => {
    client.makeUnaryRequest<Buffer, Buffer>('/inference.GRPCInferenceService/ModelInfer', same, same, message, (error, value) => error || !value ? reject(error ?? new Error('nothing')) : resolve(value))
  })
  const fields: string[] = []
  const reader = new FieldReader(answer)
  while (reader.next()) fields.push(`${reader.field} ${reader.text}`)
  assert.deepEqual(fields, ['1 churn-xgboost', '2 7', '3 id'])
})
