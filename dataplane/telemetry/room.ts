/** Label sets that one metric may have. What finds no room is counted all the same, in a place for all such. */
export class Room {
  readonly #most: number
  #taken = 0
  /** How often there was none. */
  folded = 0

  constructor(most: number) {
    this.#most = most
  }

  take(): boolean {
    if (this.#taken < this.#most) {
      this.#taken++
      return true
    }
    this.folded++
    return false
  }

  release(places = 1): void {
    this.#taken -= places
  }
}
