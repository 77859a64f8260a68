/** MurmurHash3 (x86, 32 bits) over the UTF-16 of a text, in the order of its bytes in memory. Unsigned. */
export function hash32(text: string, seed: number): number {
  let hash = seed
  const { length } = text
  for (let i = 0; i < length; i += 2) {
    const block = text.charCodeAt(i) | (i + 1 < length ? text.charCodeAt(i + 1) << 16 : 0)
    hash ^= Math.imul(rotated(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593)
    if (i + 1 < length) hash = (Math.imul(rotated(hash, 13), 5) + 0xe6546b64) | 0
  }
  return mixed(hash ^ (length * 2))
}

const rotated = (word: number, by: number) => (word << by) | (word >>> (32 - by))

/** Every bit of the word has its part in every bit of the outcome, which is unsigned. */
export function mixed(word: number): number {
  let hash = word
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
