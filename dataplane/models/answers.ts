import manifest from '../../package.json' with { type: 'json' }
import { readBody } from '../pipeline/body.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange, Way } from '../pipeline/exchange.ts'
import type { BuiltVariant } from '../pipeline/rule.ts'
import type { Table } from '../runtime.ts'
import { speechOf } from '../translate/index.ts'
import type { Question, Reply } from '../translate/tensors/question.ts'
import { callers, servers } from '../translate/tensors/speeches.ts'
import type { Speech } from '../translate/translation.ts'
import type { Said } from '../translate/unary.ts'
import { callBackend, calleeOf } from '../upstream/call.ts'
import { Relay } from '../upstream/relay.ts'
import { isHosted, offeredTo, type OfferedModel, type Source } from './offered.ts'

/**
 * What clients ask a server of models about itself, in V1, V2, gRPC and the OpenAI API: whether it lives, is ready, what it
 * is, which models it has. Where no rule serves that, the gateway answers for all of its backends together, and names to
 * each caller the models that they may use.
 */

/** Undefined: nothing here is told about that. */
export async function tellOfModels(exchange: Exchange, table: Table): Promise<Way | Failure | undefined> {
  const { received, requestId } = exchange
  const speech = speechOf(exchange)
  if (speech === undefined || !isHosted(exchange, table)) return undefined
  const body = await readBody(exchange, questionMax)
  if ('code' in body) return body
  const understood = await callers[speech]({
    method: methodOf(exchange), path: received.path, query: received.query, headers: received.headers, body, model: undefined, requestMax: questionMax, answerMax: questionMax,
    call: () => Promise.resolve(unknown), requestId, countsTokens: false, generated: { pieces: 0, usage: undefined },
  }, () => Promise.resolve(undefined))
  if ('code' in understood) return understood.code === 'method_not_allowed' ? undefined : understood
  const { question, say } = understood
  if (question.ask === 'infer') return undefined
  const reply = await replyTo(question, exchange, table, speech)
  if (reply === undefined || 'code' in reply) return reply
  const said = await say(reply)
  return 'code' in said ? said : new Telling(exchange, said)
}

/** Of a question, also unpacked. Bytes. */
const questionMax = 65_536

/** HEAD is a GET whose body nobody wants; the list of Triton's is POST, and harmless enough to be had by GET. */
function methodOf({ method, path }: Exchange): string {
  const read = method === 'HEAD' || method === 'GET'
  return read && path === '/v2/repository/index' ? 'POST' : read ? 'GET' : method
}

async function replyTo(question: Exclude<Question, { ask: 'infer' }>, exchange: Exchange, table: Table, speech: Speech): Promise<Reply | Failure | undefined> {
  if (question.ask === 'live') return { reply: 'yes' }
  if (question.ask === 'server') return { reply: 'server', name: manifest.name, version: manifest.version, extensions: [] }
  const models = await offeredTo(exchange, table)
  if (models === undefined || 'code' in models) return models
  if (question.ask === 'ready') return readyOf(models)
  if (question.ask === 'models') {
    return { reply: 'models', models: models.map((model) => ({ name: model.name, version: model.version, ready: isUsable(model), created: model.created, owner: model.owner })) }
  }
  return 'name' in question ? askFor(question, exchange, models, speech) : undefined
}

const isUsable = ({ sources }: OfferedModel) => sources.some(({ usable }) => usable)

/** A server is ready when all of its models are (Open Inference Protocol). */
function readyOf(models: readonly OfferedModel[]): Reply {
  const unready = models.filter((model) => !isUsable(model)).map(({ name }) => name)
  if (unready.length === 0) return { reply: 'yes' }
  const more = unready.length > namedMax ? ` and ${unready.length - namedMax} more` : ''
  return { reply: 'no', status: 503, message: `Not ready: ${unready.slice(0, namedMax).join(', ')}${more}.` }
}

const namedMax = 10

/** Asks a backend of the model, in its own terms; one that may be asked as the caller asks, if there is one. */
async function askFor(question: Extract<Question, { name: string }>, exchange: Exchange, models: readonly OfferedModel[], speech: Speech): Promise<Reply | Failure> {
  const { name, version, ask } = question
  const sources = models.filter((model) => model.name === name && (model.version === '' || version === '' || model.version === version))
    .flatMap(({ sources: own }) => own)
    .toSorted((a, b) => Number(b.speech === speech) - Number(a.speech === speech) || Number(b.usable) - Number(a.usable))
  const [source] = sources
  if (source === undefined) return { reply: 'error', status: 404, message: `Request for unknown model: '${name}' is not found` }
  const variant = chosenOf(source)
  const spoken = variant?.protocol ?? source.speech
  if (variant === undefined || !source.usable) return ask === 'model-ready' ? { reply: 'no', status: 503, message: `The model '${name}' is not ready.` } : away
  if (spoken === undefined) return ask === 'model-ready' ? { reply: 'yes' } : unknown
  const { rule } = source
  const asked: typeof question = { ask, name: variant.model?.name ?? name, version: variant.model?.version ?? version }
  const server = servers[spoken]
  const put = await server.put(asked, { call: () => Promise.resolve(unknown) })
  if ('code' in put) return put
  const given = ask === 'model' ? await rule.ask(exchange, rule, variant, put) : await callBackend(calleeOf(rule, variant, rule.series(exchange.asked, variant)), {
    method: put.method, path: put.path, headers: put.headers, body: put.body === null ? undefined : Buffer.concat(put.body),
  }, { outer: exchange, maxBytes: questionMax })
  if ('code' in given) return given
  const reply = await server.read(asked, { ...given, headers: [...given.headers], trailers: [...given.trailers] }, questionMax)
  return 'reply' in reply && reply.reply === 'model' ? { reply: 'model', model: { ...reply.model, name } } : reply
}

/** The first that somebody answers for: of the first priority, with the largest share. */
function chosenOf({ rule: { variants }, order }: Source): BuiltVariant | undefined {
  return variants.filter(({ target, backend }) => target.kind !== 'unresolved' && backend?.foresee() === undefined)
    .toSorted((a, b) => order.indexOf(a.name) - order.indexOf(b.name))[0]
}

const away = failure('no_endpoints', 'No backend of this model takes requests.')
const unknown = failure('unsupported_translation', 'The backend of this model says nothing of it.')

/** An answer on its way. */
class Telling implements Way {
  readonly #exchange: Exchange
  readonly #said: Said

  constructor(exchange: Exchange, said: Said) {
    this.#exchange = exchange
    this.#said = said
  }

  start(): void {
    const { response, requestId, request } = this.#exchange
    const { status, headers, body, trailers = [] } = this.#said
    const relay = new Relay(response)
    const length = trailers.length > 0 ? undefined : body.reduce((sum, piece) => sum + piece.length, 0)
    const own = headers.filter((_, at) => headers[at - (at % 2)] !== 'content-length')
    const vary = ['cache-control', 'no-store', 'vary', 'Authorization', 'x-request-id', requestId]
    relay.begin(status, [...own, ...vary, ...(length === undefined ? [] : ['content-length', String(length)])], request.method === 'HEAD' ? 0 : length)
    if (request.method !== 'HEAD') for (const piece of body) relay.push(piece)
    relay.end(trailers.flatMap((name, at): [string, string][] => at % 2 === 0 ? [[name, trailers[at + 1] ?? '']] : []))
  }

  clientClosed(): void {}
}
