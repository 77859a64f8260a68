import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ask, cutAt, eventsOf, hear, said, type Answered, type Heard } from '../../../test/dataplane/translation.ts'
import { runs } from '../../../test/runs.ts'
import { failure } from '../../pipeline/errors.ts'
import { FrameReader, framed, onlyMessage } from '../../protocols/grpc_frames.ts'
import { FieldReader, MessageWriter } from '../../protocols/protobuf.ts'
import { readMessage, writeMessage } from '../../tensors/grpc_message.ts'
import { noParameters, type Infer, type Tensor } from '../../tensors/tensor.ts'
import { grpcToOpenAI } from '../grpc_openai.ts'
import { grpcToV2 } from '../grpc_v2.ts'
import { openAIToGrpc } from '../openai_grpc.ts'
import { tensorOf, elementsIn } from '../tensors/values.ts'
import { v2ToGrpc } from '../v2_grpc.ts'
import type { Asked } from '../translation.ts'

const stream = '/inference.GRPCInferenceService/ModelStreamInfer'
const grpc = ['content-type', 'application/grpc']
const sse = ['content-type', 'text/event-stream']
const inputs = [['text_input', 'BYTES'], ['stream', 'BOOL'], ['exclude_input_in_output', 'BOOL'], ['return_finish_reason', 'BOOL'], ['return_num_input_tokens', 'BOOL'], ['return_num_output_tokens', 'BOOL'], ['seed', 'INT32']] as const
const outputs = [['text_output', 'BYTES'], ['num_input_tokens', 'UINT32'], ['num_output_tokens', 'UINT32'], ['scores', 'FP32']] as const

/** A server that has such a model, whichever way it is asked. */
const described: Partial<Asked> = {
  call({ path }) {
    if (path === '/v2/models/lm') {
      const tensors = (list: typeof inputs | typeof outputs) => list.map(([name, datatype]) => ({ name, datatype, shape: [1] }))
      return Promise.resolve({ status: 200, headers: [], trailers: [], body: Buffer.from(JSON.stringify({ name: 'lm', inputs: tensors(inputs), outputs: tensors(outputs) })) })
    }
    if (!path.endsWith('ModelMetadata')) return Promise.resolve(failure('no_endpoints', 'Nobody is there.'))
    const writer = new MessageWriter().text(1, 'lm')
    for (const [name, datatype] of inputs) writer.message(4, new MessageWriter().text(1, name).text(2, datatype).number(3, 1))
    return Promise.resolve({ status: 200, headers: grpc, body: framed(writer.whole()), trailers: ['grpc-status', '0'] })
  },
}

const tensor = (name: string, datatype: string, value: unknown): Tensor => {
  const made = tensorOf(name, value, datatype, 1)
  assert.ok(made)
  return made
}
const infer = (tensors: readonly Tensor[], more: Partial<Infer> = {}): Infer => ({ model: 'lm', version: '', id: '', parameters: noParameters, tensors, outputs: [], ...more })
const answer = (...tensors: Tensor[]) => framed(new MessageWriter().bytes(2, Buffer.concat(writeMessage('outputs', infer(tensors, { version: '1' })).pieces)).whole())
const words = [' one', ' two', ' three'].map((word) => answer(tensor('text_output', 'BYTES', word)))
const counted = [' one', ' two'].map((word) => answer(tensor('text_output', 'BYTES', word), tensor('num_input_tokens', 'UINT32', 4), tensor('num_output_tokens', 'UINT32', 1)))
const ok: Pick<Answered, 'headers' | 'trailers'> = { headers: grpc, trailers: ['grpc-status', '0'] }

/** What a server over gRPC is asked. */
async function asks(asked: ReturnType<typeof ask>): Promise<{ path: string; values: object; parameters: object }> {
  const told = await asked.told
  assert.ok('path' in told, JSON.stringify(told))
  const message = readMessage('inputs', onlyMessage(Buffer.concat(told.body ?? [])) ?? Buffer.alloc(0))
  assert.ok('tensors' in message)
  const values = Object.fromEntries(message.tensors.map((one) => [one.name, elementsIn(one)]))
  return { path: told.path, values, parameters: Object.fromEntries(message.parameters) }
}

test('generate_stream is asked as a stream of gRPC: inputs of the model by their names, and the rest as parameters', async () => {
  const body = { id: 'g', text_input: 'a', seed: 7, max_tokens: 3, parameters: { stream: true, temperature: 0.5, top: 'x' } }
  assert.deepEqual(await asks(ask(v2ToGrpc, '/v2/models/lm/generate_stream', body, described)),
    { path: stream, values: { text_input: ['a'], seed: [7], stream: [true] }, parameters: { max_tokens: 3n, temperature: 0.5, top: 'x' } })
  const refused = await ask(v2ToGrpc, '/v2/models/lm/generate', { text_input: 7 }, described).told
  assert.deepEqual('code' in refused && [refused.code, refused.param], ['invalid_request', 'text_input'])
})

test('each answer of the stream is an event, however it is cut', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.nat(), { maxLength: 6 }), async (cuts) => {
    const heard = await hear(ask(v2ToGrpc, '/v2/models/lm/generate_stream', { text_input: 'a' }, described), { ...ok, chunks: cutAt(Buffer.concat(words), cuts) })
    assert.deepEqual([heard.status, heard.headers.get('content-type')], [200, 'text/event-stream; charset=utf-8'])
    assert.deepEqual(eventsOf(heard), [' one', ' two', ' three'].map((text_output) => ({ model_name: 'lm', model_version: '1', text_output })))
  }), { numRuns: runs(20, 1000) })
})

test('generate takes one answer, and no others', async () => {
  const asked = () => ask(v2ToGrpc, '/v2/models/lm/generate', { text_input: 'a' }, described)
  const heard = await hear(asked(), { ...ok, chunks: [answer(tensor('text_output', 'BYTES', 'x'), tensor('scores', 'FP32', [0.5, 1])), answer()] })
  assert.deepEqual([heard.status, JSON.parse(heard.pieces.join(''))], [200, { model_name: 'lm', model_version: '1', text_output: 'x', scores: [0.5, 1] }])
  assert.equal((await hear(asked(), { ...ok, chunks: words })).status, 400)
  assert.equal((await hear(asked(), { ...ok, chunks: [] })).status, 400)
})

test('a completion is streamed from gRPC, and what it took is counted where that matters', async () => {
  const asked = ask(openAIToGrpc, '/v1/completions', { model: 'lm', prompt: 'hi', stream: true, max_tokens: 2 }, { ...described, countsTokens: true })
  assert.deepEqual(await asks(asked), {
    path: stream, parameters: { max_tokens: 2n },
    values: { text_input: ['hi'], stream: [true], exclude_input_in_output: [true], return_finish_reason: [true], return_num_input_tokens: [true], return_num_output_tokens: [true] },
  })
  const heard = await hear(asked, { ...ok, chunks: counted })
  const events = eventsOf(heard) as { choices: { text: string }[] }[]
  assert.deepEqual(events.slice(0, -1).map(({ choices }) => choices[0]?.text), [' one', ' two', ''])
  assert.deepEqual([events.at(-1), heard.pieces.join('').includes('usage')], ['[DONE]', false])
  assert.deepEqual(asked.generated, { pieces: 2, usage: { inputTokens: 4, outputTokens: 2 } })
})

test('a caller of generate_stream who did not ask for tokens is not told of those that are counted', async () => {
  const asked = ask(v2ToGrpc, '/v2/models/lm/generate_stream', { text_input: 'a', parameters: { return_num_input_tokens: true } }, { ...described, countsTokens: true })
  assert.deepEqual((await asks(asked)).values, { text_input: ['a'], return_num_input_tokens: [true], return_num_output_tokens: [true] })
  assert.deepEqual(Object.keys(eventsOf(await hear(asked, { ...ok, chunks: counted }))[0] ?? {}), ['model_name', 'model_version', 'text_output', 'num_input_tokens'])
  assert.deepEqual(asked.generated.usage, { inputTokens: 4, outputTokens: 2 })
})

for (const [why, given, status, message] of [
  ['a status', { headers: [...grpc, 'grpc-status', '5', 'grpc-message', 'no%20such'], chunks: [] }, 404, 'no such'],
  ['a message', { ...ok, chunks: [framed(new MessageWriter().text(1, 'model says no').bytes(2, Buffer.alloc(0)).whole())] }, 500, 'model says no'],
  ['a status after nothing', { headers: grpc, chunks: [], trailers: ['grpc-status', '3', 'grpc-message', 'bad'] }, 400, 'bad'],
] satisfies readonly (readonly [string, Answered, number, string])[]) {
  test(`an error of gRPC is told by its status before anything else was: ${why}`, async () => {
    for (const streams of [true, false]) {
      const heard = await hear(ask(openAIToGrpc, '/v1/chat/completions', { model: 'lm', messages: [{ role: 'user', content: 'a' }], stream: streams }, described), given)
      assert.deepEqual([heard.status, (JSON.parse(heard.pieces.join('')) as { error: { message: string } }).error.message], [status, message])
    }
    const generate = await hear(ask(v2ToGrpc, '/v2/models/lm/generate_stream', { text_input: 'a' }, described), given)
    assert.deepEqual([generate.status, generate.pieces.join('')], [status, JSON.stringify({ error: message })])
  })
}

test('an error after the first piece is an event, and what ends without a status is no answer', async () => {
  const asked = () => ask(v2ToGrpc, '/v2/models/lm/generate_stream', { text_input: 'a' }, described)
  assert.deepEqual(eventsOf(await hear(asked(), { headers: grpc, chunks: [words[0] ?? ''], trailers: ['grpc-status', '14', 'grpc-message', 'gone'] })).at(-1), { error: 'gone' })
  assert.equal((await hear(asked(), { headers: grpc, chunks: words })).refused?.code, 'upstream_protocol')
  assert.equal((await hear(asked(), { ...ok, chunks: [Buffer.from([1, 0, 0, 0, 0])] })).refused?.code, 'upstream_protocol')
  assert.equal((await hear(asked(), { ...ok, chunks: [Buffer.from([0, 255, 0, 0, 0])] })).refused?.code, 'upstream_protocol')
  assert.equal((await hear(asked(), { ...ok, chunks: [(words[0] ?? Buffer.alloc(0)).subarray(0, 9)] })).refused?.code, 'upstream_protocol')
})

/** The messages that a caller of gRPC hears: outputs by name, or an error. */
function messagesOf(heard: Heard): unknown[] {
  return (new FrameReader(100_000).push(Buffer.concat(heard.raw)) ?? []).map((frame) => {
    const reader = new FieldReader(onlyMessage(frame) ?? Buffer.alloc(0))
    let error: string | undefined
    let part: unknown
    while (reader.next()) {
      if (reader.field === 1) error = reader.text
      const one = reader.field === 2 ? readMessage('outputs', reader.value) : undefined
      if (one !== undefined && 'tensors' in one) part = { ...Object.fromEntries(one.tensors.map((output) => [`${output.name} ${output.datatype}`, elementsIn(output)?.[0]])), ...Object.fromEntries(one.parameters) }
    }
    return error ?? part
  })
}

const asking = (tensors: readonly Tensor[], more: Partial<Infer> = {}) => framed(...writeMessage('inputs', infer(tensors, more)).pieces)
const prompt = tensor('text_input', 'BYTES', 'hi')

test('a stream of gRPC is asked of a server of V2 by generate_stream, with the datatypes that its model has', async () => {
  const asked = ask(grpcToV2, stream, asking([prompt, tensor('stream', 'BOOL', true)], { id: 's', parameters: new Map<string, bigint | boolean>([['max_tokens', 3n], ['triton_enable_empty_final_response', true]]) }), described)
  assert.deepEqual(await said(asked), { path: '/v2/models/lm/generate_stream', body: { id: 's', text_input: 'hi', stream: true, parameters: { max_tokens: 3 } } })
  const heard = await hear(asked, { headers: sse, chunks: ['data: {"model_name":"lm","text_output":"one","num_output_tokens":2,"scores":1}\n\n', 'data: {"text_output":"two","extra":1.5}\n\n'] })
  assert.deepEqual([heard.headers.get('content-type'), heard.trailers], ['application/grpc', ['grpc-status', '0']])
  assert.deepEqual(messagesOf(heard), [
    { 'text_output BYTES': 'one', 'num_output_tokens UINT32': 2, 'scores FP32': 1, triton_final_response: false }, { 'text_output BYTES': 'two', 'extra FP64': 1.5, triton_final_response: false }, { triton_final_response: true },
  ])
  assert.deepEqual(asked.generated, { pieces: 2, usage: { inputTokens: 0, outputTokens: 2 } })
})

test('a stream of gRPC is a completion of a server of the OpenAI API', async () => {
  const asked = ask(grpcToOpenAI, stream, asking([prompt, tensor('max_tokens', 'INT32', 5)]), { countsTokens: true })
  assert.deepEqual(await said(asked), { path: '/v1/completions', body: { model: 'lm', prompt: 'hi', max_tokens: 5, stream: true, stream_options: { include_usage: true } } })
  const events = [{ choices: [{ index: 0, text: ' a' }] }, { choices: [{ index: 0, text: ' b', finish_reason: 'stop' }] }, { choices: [], usage: { prompt_tokens: 4, completion_tokens: 2 } }]
  const heard = await hear(asked, { headers: sse, chunks: [...events.map((event) => `data: ${JSON.stringify(event)}\n\n`), 'data: [DONE]\n\n'] })
  assert.deepEqual(messagesOf(heard), [{ 'text_output BYTES': ' a', triton_final_response: false }, { 'text_output BYTES': ' b', triton_final_response: false }])
  assert.deepEqual(asked.generated, { pieces: 2, usage: { inputTokens: 4, outputTokens: 2 } })
})

test('an error is a message of the stream, at its beginning and later', async () => {
  for (const given of [{ status: 404, chunks: ['{"error":"no such model"}'] }, { headers: sse, chunks: ['data: {"error":"no such model"}\n\n'] }]) {
    const heard = await hear(ask(grpcToV2, stream, asking([prompt]), described), given)
    assert.deepEqual([heard.status, messagesOf(heard), heard.trailers], [200, ['no such model'], ['grpc-status', '0']])
  }
  const later = await hear(ask(grpcToV2, stream, asking([prompt]), described), { headers: sse, chunks: ['data: {"text_output":"a"}\n\n', 'data: {"error":"no"}\n\n'] })
  assert.deepEqual(messagesOf(later), [{ 'text_output BYTES': 'a', triton_final_response: false }, 'no'])
})

test('no answer whatever makes it throw', async () => {
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }).map((one) => Buffer.from(one)), fc.uint8Array({ maxLength: 40 }).map((one) => framed(Buffer.from(one))), fc.constantFrom(...words, ...counted))
  await fc.assert(fc.asyncProperty(fc.array(bytes, { maxLength: 4 }), fc.constantFrom('0', '5', 'x', '-1'), fc.boolean(), async (chunks, status, streams) => {
    const heard = await hear(ask(openAIToGrpc, '/v1/completions', { model: 'lm', prompt: 'a', stream: streams }, described), { headers: grpc, chunks, trailers: ['grpc-status', status] })
    assert.ok(heard.refused !== undefined || heard.trailers !== undefined)
  }), { numRuns: runs(50, 2000) })
  const event = fc.json().map((data) => `data: ${data}\n\n`)
  await fc.assert(fc.asyncProperty(fc.array(fc.oneof(event, fc.string()), { maxLength: 4 }), async (chunks) => {
    const heard = await hear(ask(grpcToV2, stream, asking([prompt]), described), { headers: sse, chunks })
    assert.ok(heard.refused !== undefined || heard.trailers !== undefined)
  }), { numRuns: runs(50, 2000) })
})
