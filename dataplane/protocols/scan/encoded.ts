import { inflated, inflatedMax, type Coding } from './inflate.ts'
import type { BodyScan } from './scan.ts'

/** A compressed body: it is taken in whole, and looked into at its end. */
export class EncodedScan<Inner extends BodyScan> implements BodyScan {
  readonly inner: Inner
  readonly #coding: Coding
  #parts: Buffer[] = []
  #size = 0
  #fault: string | undefined
  #over = false

  constructor(coding: Coding, inner: Inner) {
    this.#coding = coding
    this.inner = inner
  }

  get fault(): string | undefined {
    return this.#fault ?? this.inner.fault
  }

  get done(): boolean {
    return this.#over
  }

  take(piece: Buffer): void {
    this.#size += piece.length
    if (this.#size > inflatedMax) this.#fault = 'is compressed, and too large to be looked into'
    else this.#parts.push(Buffer.from(piece))
  }

  end(): void | Promise<void> {
    const bytes = inflated(this.#coding, Buffer.concat(this.#parts))
    this.#parts = []
    return bytes instanceof Promise ? bytes.then((whole) => this.#look(whole)) : this.#look(bytes)
  }

  #look(bytes: Buffer | undefined): void {
    this.#over = true
    if (bytes === undefined) {
      this.#fault = 'cannot be decompressed'
      return
    }
    void this.inner.take(bytes)
    void this.inner.end()
  }
}
