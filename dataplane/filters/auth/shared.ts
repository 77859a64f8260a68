/** What several holders have in common, made once, and kept for as long as one of them is there. */
export class Shared<Value extends object> {
  readonly #live = new Map<string, WeakRef<Value>>()
  readonly #gone = new FinalizationRegistry((key: string) => {
    // It may have been made anew meanwhile.
    if (this.#live.get(key)?.deref() === undefined) this.#live.delete(key)
  })

  get size(): number {
    return this.#live.size
  }

  get(key: string, make: () => Value): Value {
    const live = this.#live.get(key)?.deref()
    if (live !== undefined) return live
    const made = make()
    this.#live.set(key, new WeakRef(made))
    this.#gone.register(made, key)
    return made
  }
}
