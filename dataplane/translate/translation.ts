import type { Variant } from '../../table/route.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Stage } from '../pipeline/exchange.ts'
import type { FlatHeaders } from '../pipeline/headers.ts'
import type { TokenUsage } from '../protocols/usage.ts'

/** What a caller or a backend can speak. */
export type Speech = NonNullable<Variant['protocol']>

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
  /** Bytes that an answer may have where all of it must be read. */
  answerMax: number
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

/** Puts a request into the terms of another protocol. Never rejects: what cannot be said there is refused. */
export type Translation = (asked: Asked) => Told | Failure | Promise<Told | Failure>

export const unsupported = (why: string): Failure => failure('unsupported_translation', why)
