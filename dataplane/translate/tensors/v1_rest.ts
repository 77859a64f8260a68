import { failure, type Failure } from '../../pipeline/errors.ts'
import { modelOfV1, pathOfV1 } from '../../protocols/v1.ts'
import { noParameters, type Infer } from '../../tensors/tensor.ts'
import { readRows, writeRows } from '../../tensors/work.ts'
import { errorIn, json, wrongMethod } from '../rest.ts'
import { own, parsed } from '../text/members.ts'
import { unsupported, type Put } from '../translation.ts'
import type { Said } from '../unary.ts'
import type { Caller, Reply, Server } from './question.ts'

/** KServe's V1 protocol, which has rows where V2 has tensors, and no datatypes. */

export const v1Caller: Caller = async ({ method, path, body }, describe) => {
  const named = modelOfV1(path)
  if (named === undefined) return unsupported('The path is none that the V2 protocol has.')
  const { name, version = '', rest } = named
  if (rest === '') return method === 'GET' ? { question: { ask: 'model-ready', name, version }, say: (reply) => sayReady(name, reply) } : wrongMethod('GET')
  if (rest !== ':predict') return unsupported(`A backend that speaks V2 does not have ${rest}.`)
  if (method !== 'POST') return wrongMethod('POST')
  const wanted = (await describe(name, version))?.inputs ?? []
  const rows = await readRows(body, { rows: 'instances', columns: 'inputs' }, wanted, 'input-0')
  if ('code' in rows) return rows
  const infer: Infer = { model: name, version, id: '', parameters: noParameters, tensors: rows.tensors, outputs: [] }
  return { question: { ask: 'infer', infer }, say: (reply) => reply.reply === 'infer' ? sayPredictions(reply.infer, rows.single) : sayReady(name, reply) }
}

async function sayPredictions({ tensors }: Infer, single: boolean): Promise<Said | Failure> {
  const body = await writeRows('predictions', tensors, single)
  return 'code' in body ? body : { status: 200, headers: ['content-type', 'application/json', 'content-length', String(body.length)], body: [body] }
}

function sayReady(name: string, reply: Reply): Said {
  // The OpenAI API has the same path for a model, and its own words for it.
  if (reply.reply === 'yes') return json(200, { name, ready: true, id: name, object: 'model', created: 0, owned_by: '' })
  if (reply.reply === 'error') return json(reply.status, { error: reply.message })
  const { status = 503, message = `Model with name ${name} is not ready.` } = reply.reply === 'no' ? reply : {}
  return json(status, { error: message })
}

const get = (path: string): Put => ({ method: 'GET', path, headers: [], body: null })

async function putInfer(infer: Infer): Promise<Put | Failure> {
  const fault = inexpressible(infer)
  if (fault !== undefined) return fault
  const { tensors, model, version } = infer
  const body = await writeRows('instances', tensors, false)
  // Tensors without rows in common are nobody's fault.
  if ('code' in body) return unsupported(body.detail)
  return { method: 'POST', path: pathOfV1(model, version || undefined, ':predict'), headers: ['content-type', 'application/json'], body: [body] }
}

export const v1Server: Server = {
  put(question) {
    if (question.ask === 'infer') return putInfer(question.infer)
    if ('name' in question) return get(pathOfV1(question.name, question.version || undefined, ''))
    if (question.ask === 'models') return get('/v1/models')
    return question.ask === 'server' ? unsupported('A backend that speaks V1 says nothing of itself, only of its models.') : get('/')
  },
  async read(question, { status, body }) {
    const error = { status, message: errorIn(body) }
    if (question.ask === 'infer') return status === 200 ? await readPredictions(question.infer, body) : { reply: 'error', ...error }
    if (question.ask === 'model-ready') {
      if (status !== 200) return status < 500 || status === 503 ? { reply: 'no', ...error } : { reply: 'error', ...error }
      return { reply: isReady(body) ? 'yes' : 'no' }
    }
    if (status !== 200) return { reply: question.ask === 'model' || question.ask === 'models' ? 'error' : 'no', ...error }
    if (question.ask === 'models') return listedIn(body)
    if (question.ask !== 'model') return { reply: 'yes' }
    const versions = question.version === '' ? [] : [question.version]
    return { reply: 'model', model: { name: question.name, versions, platform: '', inputs: [], outputs: [] } }
  },
}

/** `{"models": ["a", "b"]}` */
function listedIn(body: Buffer): Reply | Failure {
  const models = own(parsed(body.toString()), 'models')
  if (!Array.isArray(models)) return failure('upstream_protocol', 'It is no list of models.')
  return { reply: 'models', models: (models as readonly unknown[]).filter((name) => typeof name === 'string').map((name) => ({ name, version: '', ready: true })) }
}

/** Whatever of a request V1 has no words for. */
function inexpressible({ parameters, tensors, outputs }: Infer): Failure | undefined {
  if (parameters.size > 0 || tensors.some((tensor) => tensor.parameters.size > 0)) return unsupported('A backend that speaks V1 knows no parameters.')
  if (outputs.some((output) => output.parameters.size > 0)) return unsupported('A backend that speaks V1 knows no parameters of outputs.')
  if (tensors.some(({ data }) => data === undefined)) return unsupported('A backend that speaks V1 knows no shared memory.')
  return tensors.length === 0 ? failure('invalid_request', 'There is no input.') : undefined
}

async function readPredictions({ model, version, id, outputs }: Infer, body: Buffer): Promise<Reply | Failure> {
  const rows = await readRows(body, { rows: 'predictions' }, [], outputs.length === 1 ? outputs[0]?.name ?? '' : 'output-0')
  if ('code' in rows) return rows
  const { tensors } = rows
  const missing = outputs.find(({ name }) => !tensors.some((tensor) => tensor.name === name))
  if (missing !== undefined) return { reply: 'error', status: 400, message: `The model has no output ${JSON.stringify(missing.name)}.` }
  const asked = outputs.length === 0 ? tensors : tensors.filter(({ name }) => outputs.some((output) => output.name === name))
  return { reply: 'infer', infer: { model, version, id, parameters: noParameters, tensors: asked, outputs: [] } }
}

/** KServe: `{"ready": true}` or `"True"`; TensorFlow Serving: `{"model_version_status": [{"state": "AVAILABLE"}]}`. */
function isReady(body: Buffer): boolean {
  const text = body.toString('utf8', 0, 65_536)
  if (text.includes('"model_version_status"')) return /"state"\s*:\s*"AVAILABLE"/.test(text)
  return !/"ready"\s*:\s*(?:false|"[Ff]alse")/.test(text)
}

