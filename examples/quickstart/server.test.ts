import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'
import { curlLines } from './requests.ts'
import { PORTS, startModelServer } from './server.ts'
import type { Version } from './model.ts'

async function start(t: TestContext, version: Version): Promise<string> {
  const server = await startModelServer({ version, port: 0, host: '127.0.0.1' })
  t.after(() => server.close())
  return server.url
}

const amounts = (...data: unknown[]) => ({ inputs: [{ name: 'amount', shape: [data.length], datatype: 'FP32', data }] })
const post = (url: string, body: unknown) =>
  fetch(url, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) })

test('the two versions answer differently, and say who they are', async (t) => {
  for (const [version, data] of [['1', [0.12, 1]], ['2', [0.4512, 1]]] as const) {
    const url = await start(t, version)
    const response = await post(`${url}/v2/models/fraud/infer`, { id: 'a', ...amounts(120, 1e9) })
    assert.equal(response.status, 200)
    assert.deepEqual(await response.json(), {
      id: 'a',
      model_name: 'fraud',
      model_version: version,
      outputs: [{ name: 'score', datatype: 'FP32', shape: [2], data }],
    })
  }
})

test('a version in the path is served where it lives, and nowhere else', async (t) => {
  const url = await start(t, '2')
  assert.equal((await post(`${url}/v2/models/fraud/versions/2/infer`, amounts(1))).status, 200)
  const response = await post(`${url}/v2/models/fraud/versions/1/infer`, amounts(1))
  assert.equal(response.status, 404)
  assert.match(await response.text(), /"error":"unknown model 'fraud' version '1'/)
})

test('metadata, liveness and readiness answer as the protocol says', async (t) => {
  const url = await start(t, '1')
  for (const path of ['/v2/health/live', '/v2/health/ready', '/v2/models/fraud/ready', '/v2/models/fraud/versions/1/ready']) {
    const response = await fetch(url + path)
    assert.equal(response.status, 200, path)
    assert.equal(await response.text(), '', path)
  }
  assert.equal((await fetch(`${url}/v2`)).status, 200)
  const metadata = await (await fetch(`${url}/v2/models/fraud`)).json() as Record<string, unknown>
  assert.deepEqual(metadata['versions'], ['1'])
  assert.deepEqual(metadata['inputs'], [{ name: 'amount', datatype: 'FP32', shape: [-1] }])
  assert.equal((await fetch(`${url}/v2/models/nope/ready`)).status, 404)
})

const bad: readonly [name: string, body: unknown, message: RegExp][] = [
  ['no JSON', '{"inputs":[', /not JSON/],
  ['no inputs', { id: 'x' }, /no list 'inputs'/],
  ['JSON that is no object', 'null', /no list 'inputs'/],
  ['another input', { inputs: [{ name: 'hour', shape: [1], datatype: 'FP32', data: [1] }] }, /takes one input, 'amount', and got \[hour\]/],
  ['an input that is no object', { inputs: [7] }, /got \[\(no object\)\]/],
  ['another datatype', { inputs: [{ name: 'amount', shape: [1], datatype: 'INT32', data: [1] }] }, /"INT32", the model takes FP32/],
  ['another shape', { inputs: [{ name: 'amount', shape: [2], datatype: 'FP32', data: [1] }] }, /shape \[2\] and 1 values/],
  ['a negative shape', { inputs: [{ name: 'amount', shape: [-1], datatype: 'FP32', data: [1] }] }, /shape of one dimension/],
  ['text among the numbers', amounts(1, '2'), /not a list of numbers/],
]
for (const [name, body, message] of bad) {
  test(`${name} is refused with 400 and the reason`, async (t) => {
    const response = await post(`${await start(t, '1')}/v2/models/fraud/infer`, body)
    assert.equal(response.status, 400)
    assert.match((await response.json() as { error: string }).error, message)
  })
}

test('a wrong method is 405 with what is allowed, a wrong path 404, a body over the limit 413', async (t) => {
  const url = await start(t, '1')
  const wrong = await fetch(`${url}/v2/models/fraud/infer`)
  assert.equal(wrong.status, 405)
  assert.equal(wrong.headers.get('allow'), 'POST')
  assert.equal((await fetch(`${url}/v3`)).status, 404)
  assert.equal((await post(`${url}/v2/models/fraud/infer`, ' '.repeat(1024 * 1024 + 1))).status, 413)
})

test('a taken port is refused by its number, with a way out', async (t) => {
  const port = Number(new URL(await start(t, '1')).port)
  await assert.rejects(startModelServer({ version: '2', port, host: '127.0.0.1' }), new RegExp(`port ${port} .* is taken`))
  // By themselves they say it in a line, and none is left behind.
  const servers = spawn(process.execPath, [fileURLToPath(new URL('servers.ts', import.meta.url)), '0', String(port)])
  let said = ''
  servers.stderr.setEncoding('utf8').on('data', (text: string) => { said += text })
  const [code] = await once(servers, 'close') as [number | null]
  assert.equal(code, 1)
  assert.match(said, new RegExp(`^port ${port} .* is taken, .*\\n$`))
})

test('the manifests name the ports that the servers listen on', () => {
  const documents = parseAllDocuments(readFileSync(new URL('services.yaml', import.meta.url), 'utf8'))
  const ports = documents
    .map((document) => document.toJS() as { kind: string; metadata: { name: string }; ports?: { port: number }[] })
    .filter((object) => object.kind === 'EndpointSlice')
    .map((slice) => [slice.metadata.name, slice.ports?.[0]?.port])
  assert.deepEqual(ports, [['fraud-v1', PORTS['1']], ['fraud-v2', PORTS['2']]])
})

test('three lines to try, each of them complete', () => {
  const lines = curlLines('http://127.0.0.1:8080')
  assert.equal(lines.length, 3)
  for (const line of lines) assert.match(line, /^curl -s http:\/\/127\.0\.0\.1:8080\/v2\/models\/fraud[^\n]*$/)
})
