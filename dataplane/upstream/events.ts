import type { Failure } from '../pipeline/errors.ts'
import { valueOf } from '../pipeline/headers.ts'
import { errorBody } from '../pipeline/reply.ts'
import type { Protocol } from '../protocols/path.ts'

/** Knows whether a stream of events (text/event-stream) stands between two of them, where one more can be added. */
export class EventTail {
  #tail = '\n\n'

  /** Undefined where no event could be added: it is something else, or compressed. */
  static of(headers: readonly string[]): EventTail | undefined {
    const events = valueOf(headers, 'content-type')?.startsWith('text/event-stream') === true
    return events && valueOf(headers, 'content-encoding') === undefined ? new EventTail() : undefined
  }

  push(chunk: Buffer): void {
    const { length } = chunk
    this.#tail = length >= 4 ? chunk.toString('latin1', length - 4) : (this.#tail + chunk.toString('latin1')).slice(-4)
  }

  get atBoundary(): boolean {
    return /(?:\n\n|\r\r|\n\r\n)$/.test(this.#tail)
  }
}

/** An error as the libraries of the caller look for it: those of OpenAI and of V2 in the data, others by its type. */
export function errorEvent(protocol: Protocol, why: Failure, requestId: string): Buffer {
  const { body } = errorBody(protocol, why, requestId)
  return Buffer.from(`${protocol === 'HTTP' ? 'event: error\n' : ''}data: ${body}\n\n`)
}
