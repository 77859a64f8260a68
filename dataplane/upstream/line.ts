/** A request that may wait. */
export type Waiter = Readonly<{
  ended: boolean
  /** Its whole body, where something had to read it. */
  body: Buffer | undefined
  onEnd(callback: () => void): void
}>

/** How the waiting ended: it may go on, its time was over, or the client left. */
export type Waited = 'go' | 'late' | 'left'

type Place = { readonly finish: (waited: Waited) => void; readonly bytes: number; timer: NodeJS.Timeout | undefined }

const timerMax = 2_147_483_647

/** Requests that wait, first come first served. Nothing of their bodies is read meanwhile. */
export class Line {
  readonly #bytesMax: number
  #bytes = 0
  readonly #places = new Set<Place>()

  /** @param bytesMax of bodies that were read before */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get size(): number {
    return this.#places.size
  }

  /** @param patience milliseconds
   *  @param go called in the moment in which it is let go
   *  @returns undefined: there is no room for its body */
  wait(waiter: Waiter, patience: number, go?: () => void): Promise<Waited> | undefined {
    const bytes = waiter.body?.length ?? 0
    if (this.#bytes + bytes > this.#bytesMax) return undefined
    return new Promise((resolve) => {
      const place: Place = {
        bytes,
        timer: undefined,
        finish: (waited) => {
          if (!this.#places.delete(place)) return
          this.#bytes -= bytes
          clearTimeout(place.timer)
          if (waited === 'go') go?.()
          resolve(waited)
        },
      }
      this.#places.add(place)
      this.#bytes += bytes
      if (patience < timerMax) place.timer = setTimeout(place.finish, Math.max(0, patience), 'late')
      waiter.onEnd(() => place.finish('left'))
    })
  }

  /** Lets the first one go. */
  next(): void {
    const [first] = this.#places
    first?.finish('go')
  }

  /** Lets all of them go. */
  all(): void {
    for (const place of this.#places) place.finish('go')
  }
}
