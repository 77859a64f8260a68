/** Annotations stay until they are taken away; each is to be dealt with once, and taken away once. */
export class Once {
  /** By the uid of the route and the rule. */
  readonly #dealtWith = new Map<string, string>()
  readonly #done = new Map<string, string>()

  /** Answers whether this is the first time, since the annotation was there. */
  deal(uid: string, rule: string, text: string): boolean {
    return first(this.#dealtWith, `${uid} ${rule}`, text)
  }

  /** The same, of its end. */
  finish(uid: string, rule: string, text: string): boolean {
    return first(this.#done, `${uid} ${rule}`, text)
  }

  /** Others may have dealt with it since. */
  clear(): void {
    this.#dealtWith.clear()
    this.#done.clear()
  }

  /** It is gone. */
  forget(uid: string, rule: string): void {
    this.#dealtWith.delete(`${uid} ${rule}`)
    this.#done.delete(`${uid} ${rule}`)
  }
}

function first(known: Map<string, string>, place: string, text: string): boolean {
  if (known.get(place) === text) return false
  known.set(place, text)
  return true
}
