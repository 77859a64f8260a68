import { failure, type Failure } from '../../pipeline/errors.ts'
import { decodeElement } from '../../protocols/model.ts'
import { json, wrongMethod } from '../rest.ts'
import { isRecord, own, parsed } from '../text/members.ts'
import { messageIn, refusal } from '../text/openai_form.ts'
import { unsupported, type Put } from '../translation.ts'
import type { Said } from '../unary.ts'
import { putText, readText } from './openai_text.ts'
import { understandEmbeddings } from './openai_embeddings.ts'
import type { Caller, Listed, Question, Reply, Server } from './question.ts'

/** What of the OpenAI API is no stream of text: embeddings, and which models there are. */

export const openAICaller: Caller = async (asked, describe) => {
  const { method } = asked
  const path = asked.path.replace(/^\/openai/, '')
  if (path === '/v1/embeddings') return method === 'POST' ? await understandEmbeddings(asked, describe) : wrongMethod('POST')
  if (path === '/v1/models') return method === 'GET' ? { question: { ask: 'models' }, say: sayModels } : wrongMethod('GET')
  const name = path.startsWith('/v1/models/') ? decodeElement(path.slice('/v1/models/'.length)) : undefined
  if (!name) return unsupported(`The backend does not speak OpenAI, and has nothing for ${path}.`)
  return method === 'GET' ? { question: { ask: 'model-ready', name, version: '' }, say: (reply) => sayModel(name, reply) } : wrongMethod('GET')
}

/** Who owns a model and since when it is there, other protocols do not say. */
const modelOf = (name: string, { created = 0, owner = '' }: Partial<Listed> = {}) => ({ id: name, object: 'model', created, owned_by: owner })

function sayModels(reply: Reply): Said {
  if (reply.reply !== 'models') return sayOther(reply)
  const models = new Map(reply.models.filter(({ ready }) => ready).map((model) => [model.name, model]))
  // V1 has its list on the same path, in these words.
  return json(200, { object: 'list', data: [...models].map(([name, model]) => modelOf(name, model)), models: [...models.keys()] })
}

const sayModel = (name: string, reply: Reply): Said => reply.reply === 'yes' ? json(200, modelOf(name)) : sayOther(reply, `The model ${JSON.stringify(name)} is not ready.`)

function sayOther(reply: Reply, unready = 'The backend is not ready.'): Said {
  if (reply.reply === 'error') return refusal(reply.status, reply.message)
  return reply.reply === 'no' ? refusal(reply.status ?? 404, reply.message ?? unready) : refusal(502, 'The backend answered to something else.')
}

/** Everything but inferences is read in the list of models: that is what every server of this API has. */
const list: Put = { method: 'GET', path: '/v1/models', headers: ['accept', 'application/json'], body: null }

export const openAIServer: Server = {
  put: (question) => question.ask === 'infer' ? putText(question.infer) : list,
  async read(question, { status, body }) {
    if (status !== 200) return truth.has(question.ask) && status < 500 ? { reply: 'no', status, message: messageIn(body) } : { reply: 'error', status, message: messageIn(body) }
    if (question.ask === 'infer') return await readText(question.infer, body)
    const models = listedIn(body)
    return models === undefined ? failure('upstream_protocol', 'It is no list of models.') : replyOf(question, models)
  },
}

const truth = new Set<Question['ask']>(['live', 'ready', 'model-ready'])

function listedIn(body: Buffer): readonly Listed[] | undefined {
  const data = own(parsed(body.toString()), 'data')
  if (!Array.isArray(data)) return undefined
  return (data as readonly unknown[]).flatMap((one) => isRecord(one) && typeof one['id'] === 'string' ? [{ name: one['id'], version: '', ready: true }] : [])
}

function replyOf(question: Exclude<Question, { ask: 'infer' }>, models: readonly Listed[]): Reply | Failure {
  if (question.ask === 'models') return { reply: 'models', models }
  if (question.ask === 'server') return { reply: 'server', name: 'openai', version: '', extensions: [] }
  if (!('name' in question)) return { reply: 'yes' }
  const there = question.version === '' && models.some(({ name }) => name === question.name)
  const message = `The backend has no model ${JSON.stringify(question.name)}${question.version === '' ? '' : ` of version ${JSON.stringify(question.version)}`}.`
  if (question.ask === 'model-ready') return there ? { reply: 'yes' } : { reply: 'no', status: 404, message }
  return there ? { reply: 'model', model: { name: question.name, versions: [], platform: 'openai', inputs, outputs } } : { reply: 'error', status: 404, message }
}

/** What it takes for a completion; `input` in place of the prompt asks for embeddings. */
const inputs = [{ name: 'text_input', datatype: 'BYTES', shape: [-1] }]
const outputs = [{ name: 'text_output', datatype: 'BYTES', shape: [-1] }]
