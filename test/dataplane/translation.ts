import type { Asked, Told, Translation } from '../../dataplane/translate/translation.ts'
import { failure, type Failure } from '../../dataplane/pipeline/errors.ts'
import type { AnswerHandler, Controller } from '../../dataplane/upstream/dispatch.ts'

export type Heard = { status: number; headers: Map<string, string>; pieces: string[]; /** The same as bytes. */ raw: Buffer[]; trailers: readonly string[] | undefined; refused: Failure | undefined; error: Error | undefined }

/** What a backend answers. `chunks`: as they come; an Error: it breaks off there. */
export type Answered = Readonly<{ status?: number; headers?: readonly string[]; chunks: readonly (string | Buffer | Error)[]; trailers?: readonly string[] }>

/** One request put into the terms of a backend. */
export function ask(translation: Translation, path: string, body: unknown, more: Partial<Asked> = {}): Asked & { told: Promise<Told | Failure> } {
  const asked: Asked = {
    method: 'POST', path, query: '', headers: [], body: Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), model: undefined,
    requestMax: 1_000_000, answerMax: 1_000_000, requestId: 'r1', call: () => Promise.resolve(failure('no_endpoints', 'Nobody is there.')), countsTokens: false, generated: { pieces: 0, usage: undefined }, ...more,
  }
  return { ...asked, told: Promise.resolve(translation(asked)) }
}

/** What the backend is asked: its path, and its body as JSON. */
export async function said(asked: { told: Promise<Told | Failure> }): Promise<{ path: string; body: unknown } | Failure> {
  const told = await asked.told
  return 'code' in told ? told : { path: told.path, body: JSON.parse(Buffer.concat(told.body ?? []).toString()) as unknown }
}

/** What the caller hears of an answer. */
export async function hear(asked: { told: Promise<Told | Failure> }, { status = 200, headers = ['content-type', 'application/json'], chunks, trailers = [] }: Answered): Promise<Heard> {
  const told = await asked.told
  if ('code' in told) throw new Error(`${told.code}: ${told.detail}`)
  const heard: Heard = { status: 0, headers: new Map(), pieces: [], raw: [], trailers: undefined, refused: undefined, error: undefined }
  const { promise, resolve } = Promise.withResolvers<void>()
  const controller: Controller = { pause() {}, resume() {}, abort() {} }
  const to: AnswerHandler = {
    onResponseStart(_controller, code, raw) {
      heard.status = code
      for (let i = 0; i < raw.length; i += 2) heard.headers.set(raw[i] ?? '', raw[i + 1] ?? '')
    },
    onResponseData(_controller, chunk) {
      heard.pieces.push(chunk.toString())
      heard.raw.push(Buffer.from(chunk))
    },
    onResponseFlush: () => false,
    onResponseEnd(_controller, raw) {
      heard.trailers = raw
      resolve()
    },
    onResponseError(error) {
      heard.error = error
      resolve()
    },
  }
  const stage = told.answer(to, (why) => {
    heard.refused = why
    resolve()
  })
  stage.onResponseStart(controller, status, headers)
  for (const chunk of chunks) {
    if (chunk instanceof Error) {
      stage.onResponseError(chunk)
      break
    }
    // It is only lent.
    const lent = Buffer.from(chunk)
    stage.onResponseData(controller, lent)
    if (!stage.onResponseFlush()) lent.fill(0)
  }
  if (!chunks.some((chunk) => chunk instanceof Error)) stage.onResponseEnd(controller, trailers)
  await promise
  return heard
}

/** The data of the events that were heard: parsed, where it is JSON. */
export function eventsOf({ pieces }: Heard): unknown[] {
  return pieces.join('').split('\n\n').filter((one) => one !== '').map((one) => {
    const data = one.replace(/^data: /, '')
    return data === '[DONE]' ? data : JSON.parse(data) as unknown
  })
}

/** The bytes cut at these places, wherever that is. */
export function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end))
}
