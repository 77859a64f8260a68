import type { Variant } from '../../table/route.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange, Stage } from '../pipeline/exchange.ts'
import type { FlatHeaders } from '../pipeline/headers.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import type { BodyEditor } from '../protocols/edit/editor.ts'
import type { Given } from './unary.ts'
import type { TokenUsage } from '../protocols/usage.ts'

/** What a caller or a backend can speak. */
export type Speech = NonNullable<Variant['protocol']>

/** A request in the terms of a server. `path`: with its query. `headers`: what is said of the body. */
export type Put = Readonly<{ method: string; path: string; headers: FlatHeaders; body: readonly Buffer[] | null }>

/** Never rejects. @param olderThan milliseconds: what is older is asked for again */
export type AskVariant = (exchange: Exchange, rule: BuiltRule, variant: BuiltVariant, put: Put, olderThan?: number) => Promise<Given | Failure>

/** A request as its caller put it. */
export type Asked = Readonly<{
  method: string
  path: string
  /** With its `?`; or empty. */
  query: string
  /** Names in lower case and values. */
  headers: readonly string[]
  /** Whole, and out of its content coding. It is the caller's own, and the next variant may need it: never written to. */
  body: Buffer
  /** What to ask the backend for, where that differs from what the caller names. */
  model: Variant['model']
  /** Bytes that a message in the body may unpack to. */
  requestMax: number
  /** Bytes that an answer may have where all of it must be read. */
  answerMax: number
  /** Asks the backend something of the gateway's own, in its terms. Never rejects. */
  call(put: Put): Promise<Given | Failure>
  requestId: string
  /** How many tokens it takes matters here, whether the caller asks for that or not. */
  countsTokens: boolean
  /** Written to as text comes. */
  generated: Generated
}>

/** What came of an answer that is text, as far as it has come. */
export type Generated = { pieces: number; /** As the backend tells it. */ usage: TokenUsage | undefined }

/** The same request as the backend wants it. */
export type Told = Readonly<{
  method: string
  /** With its query. */
  path: string
  /** What is said of the body, in place of what the caller said; all his other headers go along. */
  headers: FlatHeaders
  /** One piece after the other; null: none. */
  body: readonly Buffer[] | null
  /** Brings what the backend answers into the caller's form: `unary` of answers that are read whole, or a stage of its own. */
  answer: Stage
}>

/** The same of a request whose body is changed on its way. `length`: bytes that come of it. */
export type Edited = Omit<Told, 'body'> & Readonly<{ edit: () => BodyEditor; length: number }>

/** Puts a request into the terms of another protocol that need not be read whole for that. */
export type Opening = Readonly<{
  /** How many bytes of its body must be read; undefined: all of them. */
  length(request: Pick<Asked, 'method' | 'path' | 'headers'>): number | undefined
  /** @param size of the whole body. @returns undefined: it must be read whole after all */
  put(asked: Omit<Asked, 'body'>, head: Buffer, size: number): Edited | Failure | undefined
}>

/** Puts a request into the terms of another protocol. Never rejects: what cannot be said there is refused. */
export type Translation = (asked: Asked) => Told | Failure | Promise<Told | Failure>

export const unsupported = (why: string): Failure => failure('unsupported_translation', why)

/** Puts a request into the terms of a third protocol, and those into the ones of the backend's. */
export function through(first: Translation, second: Translation): Translation {
  return async (asked) => {
    const told = await first(asked)
    if ('code' in told) return told
    const { generated } = asked
    const inner = await second({
      ...asked, method: told.method, path: told.path, query: '', headers: told.headers, body: Buffer.concat(told.body ?? []), model: undefined,
      // Pieces are counted once; tokens by whoever is told of them.
      generated: { pieces: 0, get usage() { return generated.usage }, set usage(usage) { generated.usage = usage } },
    })
    return 'code' in inner ? inner : { ...inner, answer: (to, refuse) => inner.answer(told.answer(to, refuse), refuse) }
  }
}
