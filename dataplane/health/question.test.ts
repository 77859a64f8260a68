import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ActiveHealth, ServedModel } from '../../table/resilience.ts'
import { framed, onlyMessage } from '../protocols/grpc_frames.ts'
import { questionOf, type Answer, type Question } from './question.ts'

const active = (type: ActiveHealth['type'], path?: string): ActiveHealth =>
  ({ type, ...(path !== undefined && { path }), interval: 1000, timeout: 1000, healthy: 2, unhealthy: 3 })
const asks = (served: ServedModel) => questionOf(active('Model'), served)
const answer = (more: Partial<Answer> & { text?: string } = {}): Answer =>
  ({ status: 200, headers: [], trailers: [], body: Buffer.from(more.text ?? ''), ...more })
const fit = (question: Question, given: Answer) => question.fault(given) ?? 'fit'

test('HTTP: any 2xx will do, whatever the body', () => {
  const question = questionOf(active('HTTP', '/v2/health/ready'), undefined)
  assert.deepEqual([question.method, question.path, question.bytes], ['GET', '/v2/health/ready', 0])
  assert.equal(fit(question, answer({ status: 204 })), 'fit')
  for (const status of [199, 301, 400, 503]) assert.equal(fit(question, answer({ status })), `it answered ${status}`)
})

test('V2: the model is asked for, and its version where it has one', () => {
  assert.equal(asks({ protocol: 'V2', name: 'fraud' }).path, '/v2/models/fraud/ready')
  assert.equal(asks({ protocol: 'V2', name: 'a/b c', version: '3' }).path, '/v2/models/a%2Fb%20c/versions/3/ready')
  assert.equal(fit(asks({ protocol: 'V2', name: 'fraud' }), answer({ status: 400 })), 'it answered 400')
})

test('V1: what KServe and TensorFlow Serving say of a model', () => {
  const question = asks({ protocol: 'V1', name: 'fraud', version: '2' })
  assert.equal(question.path, '/v1/models/fraud/versions/2')
  for (const text of ['{"name":"fraud","ready":true}', '{"name":"fraud","ready":"True"}', '{"name":"fraud"}', 'OK',
    '{"model_version_status":[{"version":"1","state":"END"},{"version":"2","state":"AVAILABLE"}]}']) {
    assert.equal(fit(question, answer({ text })), 'fit', text)
  }
  assert.equal(fit(question, answer({ text: '{"name":"fraud","ready":false}' })), 'the model is not ready')
  assert.equal(fit(question, answer({ text: '{"model_version_status":[{"version":"2","state":"LOADING"}]}' })), 'no version of the model is available')
  assert.equal(fit(question, answer({ status: 404 })), 'it answered 404')
})

test('OpenAI: the model is in the list; without a name, any is', () => {
  const question = asks({ protocol: 'OpenAI', name: 'llama', base: '/openai' })
  assert.equal(question.path, '/openai/v1/models')
  assert.equal(fit(question, answer({ text: '{"data":[{"id":"mistral"},{"id":"llama"}]}' })), 'fit')
  assert.equal(fit(question, answer({ text: '{"data":[{"id":"mistral"}]}' })), 'it does not list the model')
  for (const text of ['', '[]', 'null', '{"data":{}}']) assert.equal(fit(question, answer({ text })), 'its answer is no list of models')
  assert.equal(fit(asks({ protocol: 'OpenAI' }), answer({ text: '{"data":[]}' })), 'it does not list the model')
  assert.equal(fit(asks({ protocol: 'OpenAI' }), answer({ text: '{"data":[{"id":"x"}]}' })), 'fit')
})

const ok = { trailers: ['grpc-status', '0'] }

test('GRPC: a server that is serving is fit; the status of the call is in its trailers, or in its head', () => {
  const question = questionOf(active('GRPC'), undefined)
  assert.deepEqual([question.path, question.http2, question.body], ['/grpc.health.v1.Health/Check', true, Buffer.alloc(5)])
  const says = (bytes: number[], more: Partial<Answer> = ok) => fit(question, answer({ body: framed(Buffer.from(bytes)), ...more }))
  assert.equal(says([8, 1]), 'fit')
  assert.equal(says([8, 2]), 'it is not serving')
  assert.equal(says([]), 'it is not serving')
  assert.equal(says([8, 1], { trailers: [] }), 'it answered with gRPC status unknown')
  assert.equal(says([], { headers: ['grpc-status', '12'] }), 'it answered with gRPC status 12')
  assert.equal(says([8, 1], { ...ok, status: 502 }), 'it answered 502')
  assert.equal(fit(question, answer({ ...ok, text: 'x' })), 'its answer is no message of gRPC')
})

test('a model over gRPC is asked for by name and version', () => {
  const { path, body, fault } = asks({ protocol: 'GRPC', name: 'é'.repeat(100), version: '7' })
  assert.equal(path, '/inference.GRPCInferenceService/ModelReady')
  const message = onlyMessage(body ?? Buffer.alloc(0))
  assert.deepEqual(message, Buffer.concat([Buffer.from([10, 200, 1]), Buffer.from('é'.repeat(100)), Buffer.from([18, 1, 55])]))
  assert.equal(fault(answer({ ...ok, body: framed(Buffer.from([8, 1])) })), undefined)
  assert.equal(fault(answer({ ...ok, body: framed(Buffer.from([8, 0])) })), 'the model is not ready')
})

test('what is no message of protocol buffers says nothing of the model', () => {
  const { fault } = asks({ protocol: 'GRPC', name: 'fraud' })
  for (const bytes of [[8], [8, 128], [10, 5, 1], [11]]) assert.equal(fault(answer({ ...ok, body: framed(Buffer.from(bytes)) })), 'the model is not ready')
  assert.equal(fault(answer({ ...ok, body: Buffer.from([1, 0, 0, 0, 0]) })), 'its answer is no message of gRPC', 'compressed')
})
