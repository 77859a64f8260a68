import assert from 'node:assert/strict'
import { connect } from 'node:net'
import test from 'node:test'
import { startLlama, startTriton } from './servers.ts'
import { cannotRun } from './venv.ts'

const skip = await cannotRun()
const json = async (url: string, body?: unknown) => {
  const response = await fetch(url, body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) })
  return { status: response.status, body: await response.json() as Record<string, unknown> }
}

test('Triton serves two versions of one model, whose answers differ', { skip }, async (t) => {
  const triton = await startTriton()
  t.after(() => triton.stop())
  const tensor = (name: string, data: number[]) => ({ name, datatype: 'FP32', shape: [data.length], data })
  const request = { inputs: [tensor('A', [1, 2]), tensor('B', [3, 4])] }
  const answers = [['/versions/1', '1', [4, 6]], ['/versions/2', '2', [1004, 1006]], ['', '2', [1004, 1006]]] as const
  for (const [path, version, data] of answers) {
    const { status, body } = await json(`${triton.http}/v2/models/add${path}/infer`, request)
    assert.deepEqual([status, body['model_version'], body['outputs']], [200, version, [tensor('SUM', [...data])]])
  }
  const { status, body } = await json(`${triton.http}/v2/models/add/infer`,
    { inputs: [tensor('A', [1]), tensor('B', [3, 4])] })
  assert.deepEqual([status, body], [400, { error: 'A has shape (1,) and B (2,)' }])
  assert.match(await (await fetch(triton.metrics)).text(), /nv_inference_request_success\{model="add",version="1"\} 1/)
  await new Promise<void>((resolve, reject) => {
    const [host = '', port] = triton.grpc.split(':')
    const socket = connect(Number(port), host, () => resolve(void socket.destroy())).once('error', reject)
  })
})

test('llama.cpp answers a chat with words and counts its tokens', { skip }, async (t) => {
  const llama = await startLlama({ model: 'first' })
  t.after(() => llama.stop())
  const { status, body } = await json(`${llama.url}/v1/chat/completions`,
    { model: 'first', max_tokens: 8, messages: [{ role: 'user', content: 'Good morning' }] })
  assert.equal(status, 200)
  assert.equal(body['model'], 'first')
  const [choice] = body['choices'] as { message: { content: string } }[]
  assert.match(choice!.message.content, /^( ?[a-z]+){8}$/)
  assert.equal((body['usage'] as { completion_tokens: number }).completion_tokens, 8)
})

test('a stopped server is gone', { skip }, async () => {
  for (const start of [startTriton, startLlama]) {
    const server = await start()
    await server.stop()
    assert.throws(() => process.kill(server.pid, 0), { code: 'ESRCH' })
  }
})
