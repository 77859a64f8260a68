/** So many texts are told apart at least before the first are forgotten; 16 bytes each. */
const generationMax = 4_000_000

/** Tells what it has seen before, by 64 bits of each text, in memory that has an end: of two generations the older is forgotten. */
export function createSeen(max = generationMax): (text: string) => boolean {
  let [young, old] = [new HashSet(), new HashSet()]
  return (text) => {
    const hash = hashOf(text)
    if (old.has(hash)) return true
    if (young.size >= max) [young, old] = [new HashSet(), young]
    return !young.add(hash)
  }
}

/** Open addressing; an entry is two words, of which the first is never zero. */
class HashSet {
  size = 0
  #words = new Uint32Array(2 * 1024)

  has([high, low]: readonly [number, number]): boolean {
    return this.#words[this.#placeOf(high, low)] === high
  }

  /** False: it was there. */
  add([high, low]: readonly [number, number]): boolean {
    if (this.size * 3 > this.#words.length) this.#grow()
    const at = this.#placeOf(high, low)
    if (this.#words[at] === high) return false
    this.#words[at] = high
    this.#words[at + 1] = low
    this.size++
    return true
  }

  #placeOf(high: number, low: number): number {
    const words = this.#words
    const mask = words.length - 2
    let at = (low << 1) & mask
    while (words[at] !== 0 && !(words[at] === high && words[at + 1] === low)) at = (at + 2) & mask
    return at
  }

  #grow(): void {
    const before = this.#words
    this.#words = new Uint32Array(before.length * 2)
    for (let i = 0; i < before.length; i += 2) {
      const high = before[i] ?? 0
      if (high === 0) continue
      const at = this.#placeOf(high, before[i + 1] ?? 0)
      this.#words[at] = high
      this.#words[at + 1] = before[i + 1] ?? 0
    }
  }
}

/** Two hashes of 32 bits (FNV-1a with different primes, and their bits mixed as MurmurHash3 does at its end). */
function hashOf(text: string): readonly [number, number] {
  let [high, low] = [0x811c9dc5, 0x9747b28c]
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    high = Math.imul(high ^ unit, 0x01000193)
    low = Math.imul(low ^ unit, 0x5bd1e995)
  }
  return [mixed(high) || 1, mixed(low)]
}

function mixed(word: number): number {
  let bits = word ^ (word >>> 16)
  bits = Math.imul(bits, 0x85ebca6b)
  bits ^= bits >>> 13
  bits = Math.imul(bits, 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}
