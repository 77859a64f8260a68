import { brainTo, halfTo } from './halves.ts'
import { Text } from './text.ts'

type Put = (text: Text, data: Buffer, from: number, to: number) => void

/** Elements from one to another, with a comma between two. They are written as Triton does it: 1.0, NaN, -Infinity. */
export const putNumbers: Readonly<Record<string, Put>> = {
  BOOL: putTruths,
  INT8: each((text, data, at) => text.whole(data.readInt8(at), false)),
  UINT8: each((text, data, at) => text.whole(data[at] ?? 0, false)),
  INT16: each((text, data, at) => text.whole(data.readInt16LE(at * 2), false)),
  UINT16: each((text, data, at) => text.whole(data.readUInt16LE(at * 2), false)),
  INT32: each((text, data, at) => putInteger(text, data.readInt32LE(at * 4))),
  UINT32: each((text, data, at) => text.whole(data.readUInt32LE(at * 4), false)),
  INT64: each((text, data, at) => putLong(text, data, at * 8)),
  UINT64: each((text, data, at) => text.long(data.readUInt32LE(at * 8 + 4), data.readUInt32LE(at * 8))),
  FP16: putHalves((word) => halfTo(word)),
  BF16: putHalves(brainTo),
  FP32: putFloats((data, from, to) => new Float32Array(aligned(data, from * 4, to * 4))),
  FP64: putFloats((data, from, to) => new Float64Array(aligned(data, from * 8, to * 8))),
}

/** A view of numbers begins where their size says, and data begins anywhere. */
function aligned({ buffer, byteOffset }: Buffer, from: number, to: number): ArrayBufferLike {
  return buffer.slice(byteOffset + from, byteOffset + to)
}

const COMMA = 44

function each(put: (text: Text, data: Buffer, at: number) => unknown): Put {
  return (text, data, from, to) => {
    for (let at = from; at < to; at++) {
      if (at > from) text.byte(COMMA)
      put(text, data, at)
    }
  }
}

function putInteger(text: Text, value: number): void {
  if (value > -0x80000000) text.whole(value, false)
  else text.put(String(value))
}

function putLong(text: Text, data: Buffer, at: number): void {
  const low = data.readUInt32LE(at)
  const high = data.readUInt32LE(at + 4)
  if (high < 0x80000000) {
    text.long(high, low)
    return
  }
  text.byte(MINUS)
  // In two's complement; of -2^63 that is the same again.
  text.long((~high >>> 0) + (low === 0 ? 1 : 0), -low >>> 0)
}

const MINUS = 45

/** Of 16 bits there are not many: each is written once, and known from then on. */
function putHalves(valueOf: (word: number) => number): Put {
  const texts: string[] = []
  const textAt = (word: number): string => {
    const text = new Text(32)
    putMixed(text, Float64Array.of(valueOf(word)))
    return text.done().toString('latin1')
  }
  return (text, data, from, to) => {
    for (let at = from; at < to; at += runMax) {
      let run = ''
      for (let i = at; i < Math.min(to, at + runMax); i++) {
        const word = data.readUInt16LE(i * 2)
        run += `,${texts[word] ??= textAt(word)}`
      }
      text.put(at === from ? run.slice(1) : run)
    }
  }
}

function putTruths(text: Text, data: Buffer, from: number, to: number): void {
  for (let at = from; at < to; at += runMax) {
    let run = ''
    for (let i = at; i < Math.min(to, at + runMax); i++) run += data[i] === 0 ? ',false' : ',true'
    text.put(at === from ? run.slice(1) : run)
  }
}

/** Elements that are looked at in one go: V8 writes a list of fractions faster than one after the other. */
const runMax = 1024

function putFloats(read: (data: Buffer, from: number, to: number) => Float16Array | Float32Array | Float64Array): Put {
  const list: number[] = []
  return (text, data, from, to) => {
    for (let at = from; at < to; at += runMax) {
      const run = read(data, at, Math.min(to, at + runMax))
      if (at > from) text.byte(COMMA)
      let fractions = true
      for (let i = 0; i < run.length && fractions; i++) {
        const value = run[i] ?? 0
        list[i] = value
        // NaN and the infinities are no fractions either.
        fractions = value !== Math.trunc(value) && value === value
      }
      list.length = run.length
      if (fractions) text.put(JSON.stringify(list).slice(1, -1))
      else putMixed(text, run)
    }
  }
}

function putMixed(text: Text, run: Float16Array | Float32Array | Float64Array): void {
  for (let i = 0; i < run.length; i++) {
    const value = run[i] ?? 0
    if (i > 0) text.byte(COMMA)
    if (value !== Math.trunc(value)) text.put(String(value))
    else if (value > -0x80000000 && value < 0x80000000 && (value !== 0 || 1 / value > 0)) text.whole(value, true)
    else text.put(value === 0 ? '-0.0' : wholeText(value))
  }
}

function wholeText(value: number): string {
  const written = String(value)
  return written.includes('e') || written.includes('y') ? written : `${written}.0`
}
