// Tensors of every datatype across protocols, with a real Triton and MLServer that give back what they are given: bit by bit what they answer themselves.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { portOf, routeTo } from '../manifests.ts'
import { datatypes, identityModels } from './identity.ts'
import { startServe, type Serving } from './serve.ts'
import { startMlserver, startTriton, type OtherServer, type Triton } from './servers.ts'
import { cannotRun, ensureVenv, type Venv } from './venv.ts'

const run = promisify(execFile)

/** Tensors that are compared by each way. */
const tensors = 10_000

/** Callers choose by a header what their server speaks. */
const route = (name: string, address: string, protocol: string) =>
  routeTo(name, portOf(address), { matches: `{headers: [{name: x-to, value: ${name}}]}`, protocol })

suite('tensors across protocols', { skip: await cannotRun() }, () => {
  let triton: Triton
  let mlserver: OtherServer
  let gateway: Serving
  let venv: Venv

  before(async () => {
    [triton, venv, mlserver] = await Promise.all([startTriton({ models: identityModels() }), ensureVenv('sdk'), startMlserver(join(import.meta.dirname, 'identity-mlserver'))])
    const routes = (server: string, { grpc, http }: Pick<Triton, 'grpc' | 'http'>) => route(`${server}-grpc`, grpc, 'GRPC') + route(`${server}-rest`, http, 'V2')
    gateway = await startServe(routes('triton', triton) + routes('mlserver', mlserver))
  }, { timeout: 300_000 })
  after(async () => {
    await Promise.all([gateway?.stop(), triton?.stop(), mlserver?.stop()])
  })

  /** How many tensors were compared, by each way. */
  async function compare(server: Pick<Triton, 'grpc'>, count: number, ...more: string[]): Promise<ReadonlyMap<string, number>> {
    const args = [join(import.meta.dirname, 'sdk/tensors.py'), server.grpc, new URL(gateway.urls['http'] ?? '').host, String(count), '1', ...more]
    const { stdout } = await run(venv.python, args, { timeout: 550_000 })
    const lines = new Map(stdout.trim().split('\n').map((line) => [line.replace(/ \d+$/, ''), Number(/\d+$/.exec(line)?.[0])]))
    assert.equal(lines.get('differ'), 0, stdout)
    return lines
  }

  test(`${tensors} tensors of every datatype, over JSON, binary data, gRPC and V1: bit by bit what Triton itself answers`, { timeout: 600_000 }, async () => {
    const compared = await compare(triton, tensors, 'triton-')
    for (const way of ['direct', 'grpc to rest', 'binary to grpc', 'json and binary', 'json to grpc', 'v1 to grpc', 'v1 to rest']) assert.ok((compared.get(way) ?? 0) >= tensors, way)
    assert.ok((compared.get('typed to rest') ?? 0) >= tensors / 2)
    assert.equal(datatypes.length, 14)
  })

  test('tensors of every datatype that it has, over JSON, binary data and gRPC: bit by bit what MLServer itself answers', { timeout: 300_000 }, async () => {
    const compared = await compare(mlserver, 1000, 'mlserver-', 'same')
    for (const way of ['direct', 'grpc to rest', 'binary to grpc', 'json and binary', 'json to grpc']) assert.ok((compared.get(way) ?? 0) >= 1000, way)
  })
})
