import type { Look } from '../../table/console.ts'

/** Questions to one proxy at a time, and milliseconds that it has for each. */
const looksMax = 8
const lookMax = 3_000

/** What one proxy is asked for people who look at its fleet, until it answers. */
export class Looks {
  #asked = 0
  readonly #open = new Map<number, (state: unknown) => void>()
  readonly #send: (id: number, look: Look) => void

  constructor(send: (id: number, look: Look) => void) {
    this.#send = send
  }

  /** What the proxy shows; undefined where it does not answer. */
  ask(look: Look): Promise<unknown> {
    if (this.#open.size >= looksMax) return Promise.resolve(undefined)
    const id = ++this.#asked
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.answer(id, undefined), lookMax)
      this.#open.set(id, (state) => {
        clearTimeout(timer)
        resolve(state)
      })
      this.#send(id, look)
    })
  }

  answer(id: number, state: unknown): void {
    const open = this.#open.get(id)
    this.#open.delete(id)
    open?.(state)
  }

  /** It has left. */
  end(): void {
    for (const id of this.#open.keys()) this.answer(id, undefined)
  }
}
