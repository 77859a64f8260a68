import { failure, type Failure } from '../../pipeline/errors.ts'
import { valueOf } from '../../pipeline/headers.ts'
import { modelOfV2, pathOfV2 } from '../../protocols/v2.ts'
import { invalid, type Infer, type Parameter, type Parameters } from '../../tensors/tensor.ts'
import { readJson, writeJson } from '../../tensors/work.ts'
import { empty, errorIn, json, wrongMethod } from '../rest.ts'
import { isRecord, own, parsed } from '../text/members.ts'
import { unsupported, type Asked, type Put } from '../translation.ts'
import type { Said } from '../unary.ts'
import type { Caller, ModelInfo, Question, Reply, Server, TensorInfo, Understood } from './question.ts'

/** The Open Inference Protocol over REST. */

/** Triton's model repository extension. */
const index = '/v2/repository/index'
const fixed: Readonly<Record<string, 'live' | 'ready' | 'server'>> = { '/v2': 'server', '/v2/': 'server', '/v2/health/live': 'live', '/v2/health/ready': 'ready' }

export const v2Caller: Caller = async ({ method, path, headers, body }) => {
  const ask = fixed[path]
  if (ask !== undefined) return method === 'GET' ? { question: { ask }, say: (reply) => sayTruth(ask, reply) } : wrongMethod('GET')
  if (path === index) return method === 'POST' ? { question: { ask: 'models' }, say: (reply) => sayIndex(reply, own(parsed(body.toString()), 'ready') === true) } : wrongMethod('POST')
  const named = modelOfV2(path)
  if (named === undefined) return unsupported(`The backend has nothing for ${path}.`)
  const { name, version = '', rest } = named
  if (rest === '/infer') return method === 'POST' ? await understand(name, version, headers, body) : wrongMethod('POST')
  if (rest === '' || rest === '/') return method === 'GET' ? { question: { ask: 'model', name, version }, say } : wrongMethod('GET')
  if (rest === '/ready') return method === 'GET' ? { question: { ask: 'model-ready', name, version }, say: (reply) => reply.reply === 'yes' ? json(200, { name, ready: true }) : say(reply) } : wrongMethod('GET')
  return unsupported(`The backend has nothing for ${rest}.`)
}

export const headerName = 'inference-header-content-length'

async function understand(name: string, version: string, headers: readonly string[], body: Buffer): Promise<Understood | Failure> {
  const parts = split(headers, body)
  if ('code' in parts) return parts
  if (parts.json.length === 0) return unsupported('A tensor without a description (Inference-Header-Content-Length: 0) can only be read by a server that speaks V2.')
  const infer = await readJson('inputs', parts.json, parts.binary)
  return 'code' in infer ? infer : understoodAs(infer, name, version)
}

/** A request as it was read: what it says of the form of its answer is between its caller and the gateway. */
export function understoodAs(infer: Infer, name: string, version: string): Understood & { question: { ask: 'infer' } } {
  const all = infer.parameters.get('binary_data_output') === true
  const wanted = new Map(infer.outputs.map((output) => [output.name, output.parameters.get('binary_data')]))
  const binary = (output: string): boolean => (wanted.get(output) ?? all) === true
  const said: Infer = {
    ...infer, model: name, version, parameters: without(infer.parameters, 'binary_data_output'),
    outputs: infer.outputs.map((output) => ({ name: output.name, parameters: without(output.parameters, 'binary_data') })),
  }
  return {
    question: { ask: 'infer', infer: said },
    ...((all || [...wanted.values()].includes(true)) && { binary }),
    say: (reply) => reply.reply === 'infer' ? sayInfer(reply.infer, binary) : say(reply),
  }
}

function without(parameters: Parameters, name: string): Parameters {
  if (!parameters.has(name)) return parameters
  const rest = new Map<string, Parameter>(parameters)
  rest.delete(name)
  return rest
}

/** Its JSON, and the bytes after that. */
function split(headers: readonly string[], body: Buffer): { json: Buffer; binary: Buffer } | Failure {
  const said = valueOf(headers, headerName)
  if (said === undefined) return { json: body, binary: body.subarray(body.length) }
  const length = /^\d{1,12}$/.test(said) ? Number(said) : Number.POSITIVE_INFINITY
  if (length > body.length) return invalid(`Inference-Header-Content-Length should be a number of at most ${body.length}.`)
  return { json: body.subarray(0, length), binary: body.subarray(length) }
}

async function sayInfer(infer: Infer, binary: (name: string) => boolean): Promise<Said | Failure> {
  const written = await writeJson('outputs', infer, binary)
  if ('code' in written) return written
  return { status: 200, headers: [...headersOf(written.header), 'content-length', String(written.pieces.reduce((sum, { length }) => sum + length, 0))], body: written.pieces }
}

const headersOf = (header: number | undefined) => header === undefined ? ['content-type', 'application/json'] : ['content-type', 'application/octet-stream', headerName, String(header)]

/** The document leaves the body open; KServe's servers send it and its clients read it, Triton's look at the status alone. */
const sayTruth = (ask: 'server' | 'live' | 'ready', reply: Reply): Said => reply.reply === 'yes' ? json(200, { [ask]: true }) : say(reply)

/** All but inferences. */
function say(reply: Reply): Said {
  if (reply.reply === 'yes') return empty(200)
  // The status of a server or a model that is not ready is in no document; this is Triton's.
  if (reply.reply === 'no') return json(reply.status ?? 400, { error: reply.message ?? 'not ready' })
  if (reply.reply === 'server') return json(200, { name: reply.name, version: reply.version, extensions: reply.extensions })
  if (reply.reply === 'model') return json(200, reply.model)
  return reply.reply === 'error' ? json(reply.status, { error: reply.message }) : json(500, { error: 'an answer to something else' })
}

function sayIndex(reply: Reply, onlyReady: boolean): Said {
  if (reply.reply !== 'models') return say(reply)
  const models = onlyReady ? reply.models.filter(({ ready }) => ready) : reply.models
  return json(200, models.map(({ name, version, ready, reason }) => ({ name, ...(version !== '' && { version }), state: ready ? 'READY' : 'UNAVAILABLE', ...(reason !== undefined && { reason }) })))
}

const paths = { live: '/v2/health/live', ready: '/v2/health/ready', server: '/v2' } as const

const get = (path: string): Put => ({ method: 'GET', path, headers: [], body: null })
const versioned = (version: string) => version === '' ? undefined : version

export const v2Server: Server = {
  async put(question, { call }) {
    if (question.ask === 'infer') {
      const { infer } = question
      const binary = await takesBinary(call)
      const written = await writeJson('inputs', binary ? inBinary(infer) : infer, () => binary)
      return 'code' in written ? written
        : { method: 'POST', path: pathOfV2(infer.model, versioned(infer.version), '/infer'), headers: headersOf(written.header), body: written.pieces }
    }
    if ('name' in question) return get(pathOfV2(question.name, versioned(question.version), question.ask === 'model' ? '' : '/ready'))
    if (question.ask === 'models') return { method: 'POST', path: index, headers: ['content-type', 'application/json'], body: [Buffer.from('{}')] }
    return get(paths[question.ask])
  },
  async read(question, { status, headers, body }) {
    if (status !== 200) return truth.has(question.ask) && status < 500 ? { reply: 'no', status, message: errorIn(body) } : { reply: 'error', status, message: errorIn(body) }
    if (truth.has(question.ask)) return { reply: 'yes' }
    if (question.ask === 'infer') {
      const parts = split(headers, body)
      const infer = 'code' in parts ? parts : await readJson('outputs', parts.json, parts.binary)
      return 'code' in infer ? infer : { reply: 'infer', infer }
    }
    return question.ask === 'models' ? listedIn(body) : describedBy(question.ask, body)
  },
}

/** Binary data is an extension that a server need not have, and most know some datatypes only so. */
async function takesBinary(call: Asked['call']): Promise<boolean> {
  const given = await call(get(paths.server))
  return 'status' in given && given.status === 200 && listOf(own(parsed(given.body.toString()), 'extensions')).includes('binary_tensor_data')
}

function inBinary(infer: Infer): Infer {
  if (infer.outputs.length === 0) return { ...infer, parameters: new Map(infer.parameters).set('binary_data_output', true) }
  return { ...infer, outputs: infer.outputs.map(({ name, parameters }) => ({ name, parameters: new Map(parameters).set('binary_data', true) })) }
}

const truth = new Set<Question['ask']>(['live', 'ready', 'model-ready'])

function describedBy(ask: Question['ask'], body: Buffer): Reply | Failure {
  const value = parsed(body.toString())
  if (!isRecord(value)) return failure('upstream_protocol', 'It is no object of JSON.')
  if (ask === 'server') return { reply: 'server', name: textOf(value['name']), version: textOf(value['version']), extensions: listOf(value['extensions']).map(textOf) }
  const model: ModelInfo = {
    name: textOf(value['name']), versions: listOf(value['versions']).map(textOf), platform: textOf(value['platform']),
    inputs: listOf(value['inputs']).flatMap(tensorOf), outputs: listOf(value['outputs']).flatMap(tensorOf),
  }
  return { reply: 'model', model }
}

function listedIn(body: Buffer): Reply | Failure {
  const value = parsed(body.toString())
  if (!Array.isArray(value)) return failure('upstream_protocol', 'It is no list of JSON.')
  return { reply: 'models', models: (value as readonly unknown[]).map((one) => {
    const reason = textOf(own(one, 'reason'))
    return { name: textOf(own(one, 'name')), version: textOf(own(one, 'version')), ready: own(one, 'state') === 'READY', ...(reason !== '' && { reason }) }
  }) }
}

const textOf = (value: unknown): string => typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
const listOf = (value: unknown): readonly unknown[] => Array.isArray(value) ? value.slice(0, 1024) : []

function tensorOf(value: unknown): TensorInfo[] {
  if (!isRecord(value)) return []
  const shape = listOf(value['shape']).map(Number)
  return shape.every(Number.isSafeInteger) ? [{ name: textOf(value['name']), datatype: textOf(value['datatype']), shape }] : []
}

