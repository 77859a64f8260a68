import type { Failure } from '../../pipeline/errors.ts'
import { failure } from '../../pipeline/errors.ts'
import type { Stage } from '../../pipeline/exchange.ts'
import type { TokenUsage } from '../../protocols/usage.ts'
import type { Infer } from '../../tensors/tensor.ts'
import { answerTooLarge, unary, type Given, type Said } from '../unary.ts'
import type { Asked, Put, Translation } from '../translation.ts'

/** The inference protocols of KServe (V1, V2 over REST and over gRPC) say the same in other words. */

/** What a server is asked. A version that is empty is not named. */
export type Question =
  | Readonly<{ ask: 'live' | 'ready' | 'server' | 'models' }>
  | Readonly<{ ask: 'model' | 'model-ready'; name: string; version: string }>
  | Readonly<{ ask: 'infer'; infer: Infer }>

export type TensorInfo = Readonly<{ name: string; datatype: string; shape: readonly number[] }>
export type ModelInfo = Readonly<{ name: string; versions: readonly string[]; platform: string; inputs: readonly TensorInfo[]; outputs: readonly TensorInfo[] }>
/** A model in a list of them. A version that is empty is not said. `reason`: why it is not ready; `created` (seconds) and `owner`, where they are known. */
export type Listed = Readonly<{ name: string; version: string; ready: boolean; reason?: string; created?: number; owner?: string }>

/** What it answers. */
export type Reply =
  | Readonly<{ reply: 'yes' }>
  /** `status` and `message`: where it says so by an error over REST. */
  | Readonly<{ reply: 'no'; status?: number; message?: string }>
  | Readonly<{ reply: 'server'; name: string; version: string; extensions: readonly string[] }>
  | Readonly<{ reply: 'model'; model: ModelInfo }>
  | Readonly<{ reply: 'models'; models: readonly Listed[] }>
  /** `usage`: what of tokens the server says beside it. */
  | Readonly<{ reply: 'infer'; infer: Infer; usage?: TokenUsage }>
  /** `status`: of HTTP. `grpc`: where the server said one. */
  | Readonly<{ reply: 'error'; status: number; grpc?: number; message: string }>

/** A request as it was understood, and how its answer is said. Neither ever rejects. */
export type Understood = Readonly<{
  question: Question
  say(reply: Reply): Said | Failure | Promise<Said | Failure>
  /** Which outputs are taken in binary; undefined: none. */
  binary?: (output: string) => boolean
}>

/** @param describe asks the backend for what it says of a model; undefined: nothing that could be used */
export type Caller = (asked: Asked, describe: (name: string, version: string) => Promise<ModelInfo | undefined>) => Understood | Failure | Promise<Understood | Failure>

export type Server = Readonly<{
  put(question: Question, asked: Pick<Asked, 'call'>): Put | Failure | Promise<Put | Failure>
  read(question: Question, given: Given, max: number): Reply | Failure | Promise<Reply | Failure>
  /** Brings answers that are all binary into the caller's form as they come; `whole` gets the others. */
  pour?: (binary: (output: string) => boolean, whole: Stage) => Stage
}>

export function tensorTranslation(caller: Caller, server: Server): Translation {
  return async (asked) => {
    const renamed = (question: Question): Question => renameIn(question, asked.model)
    const understood = await caller(asked, (name, version) => describe(asked, server, renamed({ ask: 'model', name, version })))
    if ('code' in understood) return understood
    const question = renamed(understood.question)
    const put = await server.put(question, asked)
    return 'code' in put ? put : { ...put, answer: answering(understood, question, server, asked) }
  }
}

/** @param question as the server is asked it */
export function answering({ binary, say }: Understood, question: Question, server: Server, { answerMax, generated }: Pick<Asked, 'answerMax' | 'generated'>): Stage {
  const whole = unary(answerMax, async (given) => {
    const reply = await server.read(question, given, answerMax)
    if ('usage' in reply && reply.usage !== undefined) generated.usage = reply.usage
    const said = 'code' in reply ? reply : await say(reply)
    if ('code' in said && said.code === 'request_too_large') return answerTooLarge(answerMax)
    // What cannot be read or said is the backend's, and no longer the caller's.
    return 'code' in said && (said.code === 'invalid_request' || said.code === 'unsupported_translation') ? failure('upstream_protocol', `The answer of the backend cannot be translated: ${said.detail}`) : said
  })
  return binary === undefined || server.pour === undefined ? whole : server.pour(binary, whole)
}

export function renameIn(question: Question, model: Asked['model']): Question {
  if (model === undefined) return question
  if (question.ask === 'infer') {
    const { infer } = question
    return { ask: 'infer', infer: { ...infer, model: model.name ?? infer.model, version: model.version ?? infer.version } }
  }
  return 'name' in question ? { ...question, name: model.name ?? question.name, version: model.version ?? question.version } : question
}

/** What a server says of a model; undefined: nothing that could be used. */
async function describe(asked: Asked, server: Server, question: Question): Promise<ModelInfo | undefined> {
  const reply = await replyTo(asked, server, question)
  return reply?.reply === 'model' ? reply.model : undefined
}

/** What a server answers to something that the gateway asks for itself; undefined: nothing that could be used. */
export async function replyTo(asked: Asked, server: Server, question: Question): Promise<Reply | undefined> {
  const put = await server.put(question, asked)
  if ('code' in put) return undefined
  const given = await asked.call(put)
  if ('code' in given) return undefined
  const reply = await server.read(question, given, describedMax)
  return 'reply' in reply ? reply : undefined
}

/** Of what a server says of a model. Bytes. */
const describedMax = 1_048_576
