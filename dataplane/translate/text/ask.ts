import type { Failure } from '../../pipeline/errors.ts'
import type { FlatHeaders } from '../../pipeline/headers.ts'
import type { TokenUsage } from '../../protocols/usage.ts'
import type { Asked, Told } from '../translation.ts'
import type { Said } from '../unary.ts'
import type { Sampling } from './sampling.ts'

/** What is asked of a model that writes text, whichever protocol says it. */
export type Ask = Readonly<{
  /** As the caller names it; empty where he names none. */
  model: string
  version: string | undefined
  /** An answer is wanted for each; most protocols know one only. `member`: what the caller calls them. */
  prompts: readonly string[]
  member: string
  sampling: Sampling
  /** The answer is wanted piece by piece. */
  stream: boolean
  /** The caller asks to be told how many tokens it took, and why the text ends. */
  usage: boolean
  finish: boolean
  /** The prompt is to stand before the answer. */
  echo: boolean
  /** The caller's own name for the request; empty where he has none. */
  id: string
}>

/** A part of an answer, as it came. */
export type Piece = Readonly<
  /** `prompt`: which of those asked for goes on. `finish`: why it ends there; undefined: it does not, or nothing says. */
  | { kind: 'text'; prompt: number; text: string; finish: string | undefined }
  /** Of all that was written so far. */
  | { kind: 'usage'; usage: TokenUsage }
  /** The model failed, in the words of its server. `status`: of HTTP, where that is known. */
  | { kind: 'fault'; message: string; status?: number }
>

/** A part of an answer of Triton's generate extension, whatever its outputs are: a value for each. */
export type Part = Exclude<Piece, { kind: 'text' }> | Readonly<{ kind: 'part'; part: Readonly<Record<string, unknown>> }>

/** Takes a server's answer apart as it comes. Undefined: it is no answer of its protocol, or one that says what no caller can be told. */
export type PieceReader<P = Piece> = Readonly<{
  push(chunk: Buffer): readonly P[] | undefined
  /** @param head names and values of headers and trailers */
  end(head: readonly string[]): readonly P[] | undefined
}>

/** Puts an answer together as a caller expects it. */
export type PieceWriter<P = Piece> = Readonly<{
  /** Of an answer that goes out piece by piece; undefined: it goes out when it is whole. */
  headers: FlatHeaders | undefined
  /** What goes out for it: nothing, where the answer goes out whole or the caller is not told. */
  write(piece: P): Buffer
  /** The whole, or what is left of it after the pieces. */
  end(): Said
  /** An error in place of an answer. */
  refusal(status: number, message: string): Said
}>

/** Those whose requests another thread can read and write. */
export type CallerName = 'openai' | 'generate'
export type ServerName = 'generate' | 'openai' | 'v1'

/** Reads what is asked, and writes the answer. */
export type Caller = Readonly<{
  name: CallerName
  read(asked: Asked): Ask | Failure
  /** @param nonce what makes the names of its answers unlike others
   *  @param now Unix time in seconds */
  writer(ask: Ask, nonce: string, now: number): PieceWriter
}>

/** Asks a server, and reads its answer. */
export type Server = Readonly<{
  /** Undefined: what it is asked depends on more than the request. */
  name: ServerName | undefined
  request(ask: Ask, model: Asked['model']): Omit<Told, 'answer'> | Failure
  reader(ask: Ask): PieceReader
  /** What an answer says that is an error. */
  error(body: Buffer): string
}>
