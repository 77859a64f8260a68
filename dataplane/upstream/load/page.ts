import type { Controller, Handler, Sent } from '../dispatch.ts'

/** What can be asked: a pool of connections. */
export type Asked = Readonly<{ dispatch(sent: Sent, handler: Handler): void }>

export type PageLimits = Readonly<{
  /** Bytes. */
  most: number
  /** Milliseconds for all of it. */
  timeout: number
}>

/** The body of the answer to a GET; undefined where it is not 200, too large, late or broken. */
export function getPage(from: Asked, { host, path }: Readonly<{ host: string; path: string }>, limits: PageLimits): Promise<string | undefined> {
  return new Promise((resolve) => {
    const page = new Page(limits, resolve)
    // What is left of a header list that node would have made.
    const headers = ['host', host, 'accept', 'text/plain', 'accept-encoding', 'identity', 'user-agent', 'modelroute']
    from.dispatch({ path, method: 'GET', headers, body: null }, page)
  })
}

class Page implements Handler {
  readonly #most: number
  readonly #resolve: (text: string | undefined) => void
  readonly #timer: NodeJS.Timeout
  #controller: Controller | undefined
  #given = false
  #size = 0
  readonly #chunks: Buffer[] = []

  constructor({ most, timeout }: PageLimits, resolve: (text: string | undefined) => void) {
    this.#most = most
    this.#resolve = resolve
    this.#timer = setTimeout(() => this.#giveUp(), timeout)
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#given) this.#giveUp()
  }

  onRequestSent(): void {}

  onResponseStart(_controller: Controller, status: number): void {
    if (status !== 200) this.#giveUp()
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    if (this.#given) return
    this.#size += chunk.length
    if (this.#size > this.#most) this.#giveUp()
    // It is lent.
    else this.#chunks.push(Buffer.from(chunk))
  }

  onResponseFlush(): boolean {
    return false
  }

  onResponseEnd(): void {
    this.#give(Buffer.concat(this.#chunks).toString('latin1'))
  }

  onResponseError(): void {
    this.#give(undefined)
  }

  /** The rest of the answer is not waited for: the connection goes with it. */
  #giveUp(): void {
    this.#give(undefined)
    this.#controller?.abort(new Error('not wanted any more'))
  }

  #give(text: string | undefined): void {
    this.#given = true
    clearTimeout(this.#timer)
    this.#resolve(text)
  }
}
