import { Duplex } from 'node:stream'

/**
 * What the tunnel's library holds in place of the client's connection. Nothing passes in either direction before the
 * backend's answer has been checked: until then what is written here goes nowhere.
 */
export class Gate extends Duplex {
  readonly #client: Duplex
  readonly #moved: (bytesIn: number, bytesOut: number) => void
  #opened = false

  constructor(client: Duplex, moved: (bytesIn: number, bytesOut: number) => void) {
    super()
    this.#client = client
    this.#moved = moved
    client.on('data', this.#onData)
    client.on('end', this.#onEnd)
    client.on('close', this.#onClose)
    client.pause()
  }

  open(): void {
    this.#opened = true
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#moved(chunk.length, 0)
    if (!this.push(chunk)) this.#client.pause()
  }

  readonly #onEnd = (): void => {
    this.push(null)
  }

  readonly #onClose = (): void => {
    this.destroy()
  }

  override _read(): void {
    this.#client.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (!this.#opened) {
      done(new Error('the tunnel is not open'))
      return
    }
    this.#moved(0, chunk.length)
    this.#client.write(chunk, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#opened) this.#client.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#client.off('data', this.#onData)
    this.#client.off('end', this.#onEnd)
    this.#client.off('close', this.#onClose)
    if (this.#opened) this.#client.destroy()
    done(error)
  }

  /** What the library sets on a connection; the client's own has it already. */
  setTimeout(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }
}
