/** Insertions, deletions, replacements and swaps of neighbours that make one word of the other. */
function distance(from: string, to: string): number {
  let before: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const row = [i]
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1] ? 0 : 1
      let best = Math.min((row[j - 1] ?? 0) + 1, (last[j] ?? 0) + 1, (last[j - 1] ?? 0) + same)
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        best = Math.min(best, (before[j - 2] ?? 0) + 1)
      }
      row.push(best)
    }
    before = last
    last = row
  }
  return last[to.length] ?? 0
}

/** The word that was probably meant: a near one, or the only one that begins so. Undefined where there is none. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  const wanted = word.slice(0, 64).toLowerCase()
  const ranked = words.map((each) => ({ each, far: distance(wanted, each.toLowerCase()) }))
  const [best] = ranked.toSorted((a, b) => a.far - b.far)
  if (best !== undefined && best.far <= Math.max(1, Math.floor(best.each.length / 4))) return best.each
  const begun = wanted.length < 3 ? [] : words.filter((each) => each.toLowerCase().startsWith(wanted))
  return begun.length === 1 ? begun[0] : undefined
}
