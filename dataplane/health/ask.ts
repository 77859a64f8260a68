import type { Controller, Handler, Sent } from '../upstream/dispatch.ts'
import type { FlatHeaders } from '../pipeline/headers.ts'
import type { Question } from './question.ts'

/** A connection, or several, that nobody else uses. */
export type Line = Readonly<{ dispatch(sent: Sent, handler: Handler): void; destroy(): unknown }>

/**
 * Asks one endpoint once, over a connection of its own, so that a server that takes no more connections shows.
 * @param timeout milliseconds for all of it
 * @returns why the endpoint is not fit; undefined: it is
 */
export function ask(line: Line, question: Question, headers: FlatHeaders, timeout: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asking = new Asking(question, (fault) => {
      clearTimeout(timer)
      line.destroy()
      resolve(fault)
    })
    const timer = setTimeout(() => asking.settle('it did not answer in time'), timeout)
    const { path, method, body } = question
    line.dispatch({ path, method, headers: [...question.headers, ...headers], body }, asking)
  })
}

class Asking implements Handler {
  readonly #question: Question
  readonly #done: (fault: string | undefined) => void
  readonly #body: Buffer[] = []
  #size = 0
  #status = 0
  #headers: readonly string[] = []
  #over = false

  constructor(question: Question, done: (fault: string | undefined) => void) {
    this.#question = question
    this.#done = done
  }

  settle(fault: string | undefined): void {
    if (this.#over) return
    this.#over = true
    this.#done(fault)
  }

  onRequestStart(): void {}

  onRequestSent(): void {}

  onResponseStart(_controller: Controller, status: number, rawHeaders: readonly string[]): void {
    this.#status = status
    this.#headers = rawHeaders.map((text, i) => i % 2 === 0 ? text.toLowerCase() : text)
    if (this.#question.bytes === 0) this.#judge([])
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    if (this.#over) return
    this.#size += chunk.length
    if (this.#size > this.#question.bytes) this.settle('its answer is too large')
    // It is only lent.
    else this.#body.push(Buffer.from(chunk))
  }

  onResponseFlush(): boolean {
    return false
  }

  onResponseEnd(_controller: Controller, rawTrailers: readonly string[]): void {
    this.#judge(rawTrailers)
  }

  onResponseError(error: Error): void {
    this.settle(causeOf(error))
  }

  #judge(trailers: readonly string[]): void {
    if (this.#over) return
    this.settle(this.#question.fault({ status: this.#status, headers: this.#headers, trailers, body: Buffer.concat(this.#body) }))
  }
}

/** For the log: what went wrong, in as few words as the system has for it. */
function causeOf(error: Error): string {
  const code = 'code' in error ? String(error.code) : ''
  if (code === 'CONNECT_TIMEOUT') return 'it did not accept a connection in time'
  return code === '' ? 'it broke the connection' : `it could not be asked: ${code}`
}
