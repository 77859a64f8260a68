import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { Client, credentials, Server, ServerCredentials, type ServerDuplexStream, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js'
import { testProxy } from './proxy.ts'
import { active, route, rule } from './table.ts'

const [unary, stream] = ['/inference.GRPCInferenceService/ModelInfer', '/inference.GRPCInferenceService/ModelStreamInfer']
const same = (bytes: Buffer): Buffer => bytes

/** A server of gRPC's own library, which says who answers. */
async function backend(t: TestContext, name: string): Promise<number> {
  const server = new Server()
  const methods = { requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same }
  server.addService(
    {
      infer: { path: unary, requestStream: false, responseStream: false, ...methods },
      streamInfer: { path: stream, requestStream: true, responseStream: true, ...methods },
    },
    {
      infer: (_: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => done(null, Buffer.from(name)),
      streamInfer(call: ServerDuplexStream<Buffer, Buffer>) {
        call.on('data', () => call.write(Buffer.from(name)))
        call.on('end', () => call.end())
      },
    },
  )
  t.after(() => server.forceShutdown())
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => { if (error) reject(error); else resolve(port) })
  })
}

for (const policy of ['RoundRobin', 'LeastRequest'] as const) {
  test(`${policy}: the calls of one long connection of gRPC go to all pods, and a long stream keeps to its own`, { timeout: 120_000 }, async (t) => {
    const ports = await Promise.all(['a', 'b', 'c'].map((name) => backend(t, name)))
    const { url } = await testProxy(t, active('1', [route({ rules: [rule({ balance: { policy } })] })], { 'ml/s:80': ports }))
    const client = new Client(new URL(url).host, credentials.createInsecure())
    const long = client.makeBidiStreamRequest<Buffer, Buffer>(stream, same, same)
    const said = async () => {
      const answer = once(long, 'data') as Promise<[Buffer]>
      long.write(Buffer.from('x'))
      return String((await answer)[0])
    }
    const first = await said()
    const counts = new Map<string, number>()
    for (let i = 0; i < 60; i++) {
      const name = await new Promise<string>((resolve, reject) => {
        client.makeUnaryRequest<Buffer, Buffer>(unary, same, same, Buffer.from('x'), (error, answer) => { if (error) reject(error); else resolve(String(answer)) })
      })
      counts.set(name, (counts.get(name) ?? 0) + 1)
      if (i % 10 === 0) assert.equal(await said(), first)
    }
    const [stays = 0, ...others] = [first, ...['a', 'b', 'c'].filter((name) => name !== first)].map((name) => counts.get(name) ?? 0)
    if (policy === 'RoundRobin') assert.deepEqual([stays, ...others], [20, 20, 20])
    // The pod with the stream has one call more than the others in flight, so it gets fewer of the rest.
    else assert.ok(stays < 10 && others.every((count) => count >= 20), `${stays} beside the stream, ${others.join(' and ')} elsewhere`)
    long.end()
    await once(long, 'end')
    client.close()
  })
}
