/** One-sided, at 99 %. */
const z = 2.326
/** So many are remembered: what was wrong long ago counts less. */
const remembered = 1000

/** What hits by meaning turned out to be worth, where the model was asked as well. */
export class Trust {
  /** All that was ever verified, for the metrics. */
  readonly totals = { right: 0, wrong: 0 }
  /** It is not believed any more. */
  lost = false
  #verified = 0
  #wrong = 0

  /** @param most share of wrong ones that is put up with. @returns whether this was the one too many */
  count(wrong: boolean, most: number): boolean {
    this.totals[wrong ? 'wrong' : 'right']++
    if (this.#verified >= remembered) {
      this.#verified /= 2
      this.#wrong /= 2
    }
    this.#verified++
    if (wrong) this.#wrong++
    if (this.lost || leastShare(this.#wrong, this.#verified) <= most) return false
    this.lost = true
    return true
  }

  begin(): void {
    this.#verified = 0
    this.#wrong = 0
    this.lost = false
  }
}

/** The lower end of what the share may be (Wilson, 1927): some wrong ones of few say little. */
export function leastShare(wrong: number, of: number): number {
  if (of === 0) return 0
  const share = wrong / of
  const square = z * z / of
  return Math.max(0, (share + square / 2 - z * Math.sqrt((share * (1 - share) + square / 4) / of)) / (1 + square))
}
