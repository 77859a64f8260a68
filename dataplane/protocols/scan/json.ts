import { fold, type Wanted } from './pointers.ts'
import { valueMax, type BodyScan, type BodyValue } from './scan.ts'
import { textOf } from './text.ts'

/** How deep a body may be nested: deeper than any request of a model is, and less than what breaks other readers. */
const depthMax = 1000

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a]
const [BRACE, END_BRACE, BRACKET, END_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d]

/** What may stand outside of strings: 1 between tokens, 2 in a number or a literal, 3 punctuation. */
const outside = new Uint8Array(256)
for (const character of ' \t\r\n') outside[character.charCodeAt(0)] = 1
for (const character of '+-.0123456789eEtrufalsn') outside[character.charCodeAt(0)] = 2
for (const character of '{}[],:') outside[character.charCodeAt(0)] = 3

type State = 'value' | 'value-or-end' | 'key' | 'key-or-end' | 'colon' | 'comma' | 'key-string' | 'value-string' | 'scalar' | 'skip' | 'skip-string' | 'over'

/** A container on the way to something that is looked for. */
type Level = { readonly node: Wanted; readonly list: boolean; readonly seen: Set<string>; index: number }

/**
 * Finds values of a JSON text by their pointers. Names that are looked for may stand once in their object, in whatever
 * case; what is not looked for is passed over, and held to no more than that it can be JSON.
 */
export class JsonScan implements BodyScan {
  fault: string | undefined
  /** It does not even begin like an object or a list. */
  foreign = false
  /** By slot of the pointers; undefined where there is no such value. */
  readonly values: (BodyValue | undefined)[] = []
  /** Where in the text the value of a slot stands. */
  readonly places: (readonly [from: number, to: number])[] = []
  #left: number
  readonly #settled: boolean[] = []
  #state: State = 'value'
  /** Bytes of the pieces before this one. */
  #offset = 0
  readonly #levels: Level[] = []
  /** What the value that comes next is looked for as. */
  #target: Wanted | undefined
  /** Brackets that opened in what is passed over: true for lists. */
  #open: boolean[] = []
  /** The string in hand ends its piece with a backslash that escapes what comes next. */
  #escaped = false
  #kept: Buffer[] | undefined
  #keptSize = 0
  #from = 0

  /** @param count of the pointers */
  constructor(root: Wanted, count: number) {
    this.#target = root
    this.#left = count
  }

  get done(): boolean {
    return this.#left === 0
  }

  take(piece: Buffer): void {
    for (let at = 0; at < piece.length && this.fault === undefined;) at = this.#step(piece, at)
    this.#offset += piece.length
  }

  end(): void {
    if (this.fault !== undefined || this.#state === 'over') return
    if (this.#state === 'scalar' && this.#levels.length === 0) this.#scalarEnd(this.#offset)
    else {
      this.foreign ||= this.#state === 'value' && this.#levels.length === 0
      this.fault = 'ends in the middle'
    }
  }

  /** Goes on from `at`; @returns where the next step begins */
  #step(piece: Buffer, at: number): number {
    switch (this.#state) {
      case 'key-string':
      case 'value-string':
      case 'skip-string': return this.#string(piece, at)
      case 'skip': return this.#skip(piece, at)
      case 'scalar': return this.#scalar(piece, at)
    }
    const byte = piece[at] ?? 0
    if (outside[byte] === 1) return at + 1
    switch (this.#state) {
      case 'value':
      case 'value-or-end': return this.#value(byte, at)
      case 'key':
      case 'key-or-end':
        if (byte === QUOTE) this.#begin('key-string', at)
        else if (byte === END_BRACE && this.#state === 'key-or-end') this.#close()
        else this.fault = 'is not JSON'
        return at + 1
      case 'colon':
        if (byte !== COLON) this.fault = 'is not JSON'
        this.#state = 'value'
        return at + 1
      case 'comma': return this.#comma(byte, at)
      default:
        this.fault = 'goes on after its end'
        return at
    }
  }

  #begin(state: State, at: number): void {
    this.#state = state
    this.#escaped = false
    this.#kept = []
    this.#keptSize = 0
    this.#from = this.#offset + at
  }

  #value(byte: number, at: number): number {
    const target = this.#target
    const atRoot = this.#levels.length === 0
    if (atRoot && byte !== BRACE && byte !== BRACKET) this.foreign = true
    if (byte === END_BRACKET && this.#state === 'value-or-end') {
      this.#close()
      return at + 1
    }
    if (byte === QUOTE) {
      this.#begin(target !== undefined && target.slot >= 0 ? 'value-string' : 'skip-string', at)
      return at + 1
    }
    if (byte === BRACE || byte === BRACKET) {
      const list = byte === BRACKET
      this.#found(target, { kind: 'container', text: '', cut: false }, at)
      if (target === undefined || target.children.size === 0) {
        this.#open = [list]
        this.#state = 'skip'
      } else {
        // A pointer has no more tokens than levels that are looked into.
        this.#levels.push({ node: target, list, seen: new Set(), index: 0 })
        this.#state = list ? 'value-or-end' : 'key-or-end'
        if (list) this.#target = childAt(target, 0)
      }
      return at + 1
    }
    if (outside[byte] !== 2) {
      this.fault = 'is not JSON'
      return at
    }
    this.#begin('scalar', at)
    return at
  }

  #comma(byte: number, at: number): number {
    const level = this.#levels.at(-1)
    if (level === undefined) this.fault = 'goes on after its end'
    else if (byte === COMMA) {
      this.#state = level.list ? 'value' : 'key'
      if (level.list) this.#target = childAt(level.node, ++level.index)
    } else if (byte === (level.list ? END_BRACKET : END_BRACE)) this.#close()
    else this.fault = 'is not JSON'
    return at + 1
  }

  /** The end of a container that was looked into: what has not been found in it is not there. */
  #close(): void {
    const level = this.#levels.pop()
    if (level !== undefined) this.#settle(level.node)
    this.#after()
  }

  #after(): void {
    this.#target = undefined
    this.#state = this.#levels.length === 0 ? 'over' : 'comma'
  }

  #found(target: Wanted | undefined, value: BodyValue, at: number): void {
    if (target === undefined || target.slot < 0) return
    this.values[target.slot] = value
    this.places[target.slot] = [this.#from, this.#offset + at]
    this.#mark(target.slot)
  }

  #mark(slot: number): void {
    if (slot < 0 || this.#settled[slot] === true) return
    this.#settled[slot] = true
    this.#left--
  }

  #settle(node: Wanted): void {
    this.#mark(node.slot)
    for (const child of node.children.values()) this.#settle(child)
  }

  /** What is not looked into: strings and brackets are all that counts. */
  #skip(piece: Buffer, from: number): number {
    const open = this.#open
    for (let at = from; at < piece.length; at++) {
      const byte = piece[at] ?? 0
      if (outside[byte] === 2 || outside[byte] === 1) continue
      if (byte === QUOTE) {
        this.#escaped = false
        this.#state = 'skip-string'
        this.#kept = undefined
        return at + 1
      }
      if (byte === COMMA || byte === COLON) continue
      if (byte === BRACE || byte === BRACKET) {
        if (open.push(byte === BRACKET) > depthMax) {
          this.fault = 'is nested too deep'
          return at
        }
      } else if (outside[byte] === 0 || open.pop() !== (byte === END_BRACKET)) {
        this.fault = 'is not JSON'
        return at
      } else if (open.length === 0) {
        this.#valueEnd()
        return at + 1
      }
    }
    return piece.length
  }

  #string(piece: Buffer, from: number): number {
    let at = from
    if (this.#escaped && at < piece.length) {
      this.#escaped = false
      at++
    }
    for (;;) {
      const quote = piece.indexOf(QUOTE, at)
      const end = quote === -1 ? piece.length : quote
      let slashes = 0
      while (end - 1 - slashes >= at && piece[end - 1 - slashes] === BACKSLASH) slashes++
      if (quote === -1) {
        this.#escaped = slashes % 2 === 1
        this.#keep(piece, from, piece.length)
        return piece.length
      }
      at = quote + 1
      if (slashes % 2 === 1) continue
      this.#keep(piece, from, quote)
      this.#stringEnd(at)
      return at
    }
  }

  #keep(piece: Buffer, from: number, to: number): void {
    if (this.#kept === undefined || this.#state === 'skip-string') return
    const part = piece.subarray(from, Math.min(to, from + valueMax - this.#keptSize))
    this.#keptSize += to - from
    if (part.length > 0) this.#kept.push(Buffer.from(part))
    if (this.#keptSize > valueMax) this.#keptSize = valueMax + 1
  }

  #stringEnd(at: number): void {
    if (this.#state === 'skip-string') {
      // Inside of what is passed over, or one that is all of it.
      if (this.#open.length > 0) this.#state = 'skip'
      else this.#valueEnd()
      return
    }
    const cut = this.#keptSize > valueMax
    const text = textOf(Buffer.concat(this.#kept ?? []), cut)
    if (text === undefined) this.fault = 'holds text that is not JSON in UTF-8'
    else if (this.#state === 'value-string') {
      this.#found(this.#target, { kind: 'string', text, cut }, at)
      this.#valueEnd()
    } else this.#key(text, cut)
  }

  #key(name: string, cut: boolean): void {
    const level = this.#levels.at(-1)
    this.#state = 'colon'
    this.#target = cut ? undefined : level?.node.children.get(name)
    const folded = fold(name)
    if (level === undefined || cut || !level.node.folded.has(folded)) return
    if (level.seen.has(folded)) this.fault = 'names a member twice'
    level.seen.add(folded)
  }

  #scalar(piece: Buffer, from: number): number {
    let at = from
    while (at < piece.length && outside[piece[at] ?? 0] === 2) at++
    this.#keep(piece, from, at)
    if (at < piece.length) this.#scalarEnd(this.#offset + at)
    return at
  }

  #scalarEnd(to: number): void {
    const text = this.#keptSize > valueMax ? '' : Buffer.concat(this.#kept ?? []).toString('latin1')
    if (!/^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)$/.test(text)) this.fault = 'is not JSON'
    this.#found(this.#target, { kind: 'scalar', text, cut: false }, to - this.#offset)
    this.#valueEnd()
  }

  /** A value is over, and nothing in it was looked into. */
  #valueEnd(): void {
    if (this.#target !== undefined) this.#settle(this.#target)
    this.#after()
  }
}

function childAt(node: Wanted, index: number): Wanted | undefined {
  return index <= node.lastIndex ? node.children.get(String(index)) : undefined
}
