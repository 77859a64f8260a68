import type { Look } from '../table/console.ts'

type Scored<Item> = Readonly<{ item: Item; score: number; name: string }>

/** The first of a list that is looked at, of items that come in any order: as many as are asked for, and no more are held. */
export class Best<Item> {
  /** All that were added. */
  total = 0
  readonly #most: number
  readonly #kept: Scored<Item>[] = []

  constructor({ offset, limit }: Pick<Look, 'offset' | 'limit'>) {
    this.#most = offset + limit
  }

  /** @param score the greatest come first; of equal ones, by name */
  add(item: Item, score: number, name: string): void {
    this.total++
    const kept = this.#kept
    const one = { item, score, name }
    const last = kept.at(-1)
    if (kept.length >= this.#most && (last === undefined || !comesBefore(one, last))) return
    let [from, to] = [0, kept.length]
    while (from < to) {
      const middle = (from + to) >> 1
      const other = kept[middle]
      if (other !== undefined && comesBefore(one, other)) to = middle
      else from = middle + 1
    }
    kept.splice(from, 0, one)
    if (kept.length > this.#most) kept.pop()
  }

  /** Those that are to be shown. */
  page({ offset }: Pick<Look, 'offset'>): Item[] {
    return this.#kept.slice(offset).map(({ item }) => item)
  }
}

function comesBefore(a: Scored<unknown>, b: Scored<unknown>): boolean {
  return a.score === b.score ? a.name < b.name : a.score > b.score
}

/** Whether all words of a search are somewhere in these texts. Without words, always. */
export function finder(search: string): (...texts: readonly string[]) => boolean {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== '')
  if (words.length === 0) return () => true
  return (...texts) => {
    const all = texts.join(' ').toLowerCase()
    return words.every((word) => all.includes(word))
  }
}
