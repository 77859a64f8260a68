import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerHttp2Stream } from 'node:http2'
import { test, type TestContext } from 'node:test'
import type { Variant } from '../../table/route.ts'
import { framed } from '../../dataplane/protocols/grpc_frames.ts'
import { MessageWriter } from '../../dataplane/protocols/protobuf.ts'
import { readMessage, writeMessage } from '../../dataplane/tensors/grpc_message.ts'
import type { Infer } from '../../dataplane/tensors/tensor.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

type Answer = Readonly<{ message: Buffer; status?: string; cut?: number }>

/** A server of gRPC that says something to what it is asked, in pieces of any size. @param pause milliseconds in which it takes nothing, again and again */
async function grpcBackend(t: TestContext, answer: (asked: Infer) => Answer, pause = 0): Promise<{ port: number; lengths: string[] }> {
  const lengths: string[] = []
  const server = createServer()
  server.on('session', (session) => { session.on('error', () => {}); t.after(() => session.destroy()) })
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    const chunks: Buffer[] = []
    stream.on('error', () => {}).on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if (pause === 0 || chunks.length % 8 !== 0) return
      stream.pause()
      setTimeout(() => stream.resume(), pause)
    }).on('end', () => {
      const body = Buffer.concat(chunks)
      assert.equal(body.readUInt32BE(1), body.length - 5)
      lengths.push(`${headers['content-length']} ${body.length}`)
      const asked = readMessage('inputs', body.subarray(5))
      if ('code' in asked) throw new Error(asked.detail)
      const { message, status = '0', cut = 0 } = answer(asked)
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status, 'grpc-message': 'so it is' }))
      const whole = framed(message)
      for (const size of [1, 3, 4, 10]) stream.write(whole.subarray(size === 1 ? 0 : size === 3 ? 1 : size === 4 ? 4 : 8, size === 1 ? 1 : size === 3 ? 4 : size === 4 ? 8 : 18))
      stream.end(whole.subarray(18, whole.length - cut))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  return { port: typeof address === 'object' ? address?.port ?? 0 : 0, lengths }
}

const same = ({ id, tensors }: Infer): Infer => ({ model: 'real', version: '7', id, parameters: new Map(), tensors, outputs: [] })
const sameMessage = (asked: Infer): Buffer => Buffer.concat(writeMessage('outputs', same(asked)).pieces)

const inFrontOf = async (t: TestContext, port: number, more: Partial<Variant>): Promise<string> =>
  (await testProxy(t, active('1', [route({ rules: [rule({ variants: [variant('stable', 'ml/s:80', more)] })] })], { 'ml/s:80': [port] }))).url

/** Two tensors in binary, the second of nothing, and the third. */
const data = [Buffer.from(Int16Array.from({ length: 60_000 }, (_, i) => i * 31).buffer), Buffer.alloc(0), Buffer.from(Float32Array.from({ length: 3 }, (_, i) => i / 7).buffer)]
const inputs = [['a', 'INT16', [60_000]], ['b', 'FP64', [0, 2]], ['c', 'FP32', [3]]].map(([name, datatype, shape], at) => ({ name, datatype, shape, parameters: { binary_data_size: data[at]?.length } }))

function send(url: string, request: object): Promise<Response> {
  const json = Buffer.from(JSON.stringify(request))
  return fetch(`${url}/v2/models/m/infer`, { method: 'POST', headers: { 'inference-header-content-length': String(json.length) }, body: Buffer.concat([json, ...data]) })
}

for (const [how, wanted] of [['as they come', { binary_data_output: true }], ['whole, where one is wanted in JSON', { binary_data_output: false }]] as const) {
  test(`binary tensors go to gRPC as they come, and answers come back ${how}`, async (t) => {
    const { port, lengths } = await grpcBackend(t, (asked) => ({ message: sameMessage(asked) }))
    const url = await inFrontOf(t, port, { protocol: 'GRPC', model: { name: 'real' } })
    const answer = await send(url, { id: 'q', parameters: wanted, inputs, ...(!wanted.binary_data_output && { outputs: [{ name: 'a', parameters: { binary_data: true } }, { name: 'c' }] }) })
    const body = Buffer.from(await answer.arrayBuffer())
    assert.equal(answer.status, 200, body.toString('latin1', 0, 200))
    assert.equal(answer.headers.get('content-length'), String(body.length))
    const [sent, came] = lengths[0]?.split(' ') ?? []
    assert.equal(sent, came)
    const at = Number(answer.headers.get('inference-header-content-length'))
    const said = JSON.parse(body.toString('utf8', 0, at)) as { model_name: string; model_version: string; id: string; outputs: unknown[] }
    assert.deepEqual([said.model_name, said.model_version, said.id], ['real', '7', 'q'])
    if (wanted.binary_data_output) {
      assert.deepEqual(said.outputs, inputs)
      assert.deepEqual(body.subarray(at), Buffer.concat(data))
    } else {
      assert.deepEqual(said.outputs[2], { name: 'c', datatype: 'FP32', shape: [3], data: [0, 1 / 7, 2 / 7].map(Math.fround) })
      assert.deepEqual(body.subarray(at), data[0])
    }
  })
}

test('large tensors go to gRPC and back in their order, whenever the server takes them', async (t) => {
  const { port } = await grpcBackend(t, (asked) => ({ message: sameMessage(asked) }), 2)
  const url = await inFrontOf(t, port, { protocol: 'GRPC' })
  const large = Buffer.from(Int32Array.from({ length: 1_000_000 }, (_, at) => at).buffer)
  const json = Buffer.from(JSON.stringify({ parameters: { binary_data_output: true }, inputs: [{ name: 'x', datatype: 'INT32', shape: [1_000_000], parameters: { binary_data_size: large.length } }] }))
  await Promise.all([1, 2, 3, 4].map(async () => {
    const answer = await fetch(`${url}/v2/models/m/infer`, { method: 'POST', headers: { 'inference-header-content-length': String(json.length) }, body: Buffer.concat([json, large]) })
    const body = Buffer.from(await answer.arrayBuffer())
    assert.equal(answer.status, 200)
    assert.ok(body.subarray(Number(answer.headers.get('inference-header-content-length'))).equals(large))
  }))
})

test('an answer with typed contents is read whole, and said in binary all the same', async (t) => {
  const { port } = await grpcBackend(t, () => {
    const contents = new MessageWriter().bytes(6, Buffer.from(Float32Array.of(1, 2).buffer))
    return { message: new MessageWriter().text(1, 'm').message(5, new MessageWriter().text(1, 'y').text(2, 'FP32').number(3, 2).message(5, contents)).whole() }
  })
  const answer = await send(await inFrontOf(t, port, { protocol: 'GRPC' }), { parameters: { binary_data_output: true }, inputs })
  const body = Buffer.from(await answer.arrayBuffer())
  assert.deepEqual([answer.status, body.subarray(-8)], [200, Buffer.from(Float32Array.of(1, 2).buffer)])
})

for (const [why, answer] of [
  ['says at its end that it failed', (asked: Infer) => ({ message: sameMessage(asked), status: '13' })],
  ['is shorter than it says', (asked: Infer) => ({ message: sameMessage(asked), cut: 5 })],
] as const) {
  test(`an answer that ${why} is never taken for a whole one`, async (t) => {
    const { port } = await grpcBackend(t, answer)
    const response = await send(await inFrontOf(t, port, { protocol: 'GRPC' }), { parameters: { binary_data_output: true }, inputs })
    if (response.status === 200) await assert.rejects(response.arrayBuffer())
    else assert.equal(response.status, 502)
  })
}

test('binary tensors that are not what their headers say are refused before the backend hears of them', async (t) => {
  const { port, lengths } = await grpcBackend(t, (asked) => ({ message: sameMessage(asked) }))
  const url = await inFrontOf(t, port, { protocol: 'GRPC' })
  for (const request of [{ inputs: inputs.slice(1) }, { inputs: [...inputs, ...inputs] }, { inputs, more: 1 }]) {
    const answer = await send(url, request)
    assert.ok(answer.status === 400 || answer.status === 422)
    await answer.body?.cancel()
  }
  assert.deepEqual(lengths, [])
})

test('a server over REST is asked once whether it takes binary, and gets it where it does', async (t) => {
  const seen: string[] = []
  const port = await httpUpstream(t, (request, response) => {
    seen.push(`${request.url} ${request.headers['inference-header-content-length'] !== undefined}`)
    request.resume().on('end', () => response.end(request.url === '/v2' ? '{"name":"s","extensions":["binary_tensor_data"]}' : '{"model_name":"m","outputs":[]}'))
  })
  const url = await inFrontOf(t, port, { protocol: 'V2' })
  for (let n = 0; n < 2; n++) {
    const answer = await fetch(`${url}/v1/models/m:predict`, { method: 'POST', body: '{"instances":[1]}' })
    await answer.text()
  }
  assert.deepEqual(seen.filter((one) => !one.startsWith('/v2/models/m false')), ['/v2 false', '/v2/models/m/infer true', '/v2/models/m/infer true'])
})
