import { isUtf8 } from 'node:buffer'
import { widths, type Tensor } from './tensor.ts'
import type { Text } from './text.ts'
import { eachText } from './texts.ts'
import { putNumbers } from './write_numbers.ts'

/** Writes parts of a tensor as lists within lists. */
export type Nested = Readonly<{
  /** The element at `at`, or the list of them that all dimensions from `axis` on are. */
  put(text: Text, axis: number, at: number): void
}>

/** Undefined: its data are not what its datatype and shape say. */
export function nestedOf({ datatype, shape, data }: Tensor): Nested | undefined {
  const elements = data === undefined ? undefined : datatype === 'BYTES' ? textsOf(data) : numbersOf(datatype, data)
  const sizes = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, length) => product * length, 1))
  const count = shape.reduce((product, length) => product * length, 1)
  if (elements === undefined || elements.count !== count) return undefined
  function put(text: Text, axis: number, at: number): void {
    const length = shape[axis]
    if (length === undefined) {
      elements?.put(text, at, at + 1)
      return
    }
    text.put('[')
    if (axis === shape.length - 1) elements?.put(text, at, at + length)
    else {
      for (let i = 0; i < length; i++) {
        if (i > 0) text.put(',')
        put(text, axis + 1, at + i * (sizes[axis] ?? 1))
      }
    }
    text.put(']')
  }
  return { put }
}

type Elements = { count: number; put(text: Text, from: number, to: number): void }

function numbersOf(datatype: string, data: Buffer): Elements | undefined {
  const width = widths.get(datatype)
  const put = putNumbers[datatype]
  if (width === undefined || put === undefined || data.length % width !== 0) return undefined
  return { count: data.length / width, put: (text, from, to) => put(text, data, from, to) }
}

function textsOf(data: Buffer): Elements | undefined {
  const texts: Buffer[] = []
  if (!eachText(data, (from, to) => { texts.push(data.subarray(from, to)) })) return undefined
  return {
    count: texts.length,
    put(text, from, to) {
      for (let at = from; at < to; at++) {
        if (at > from) text.put(',')
        const element = texts[at] ?? Buffer.alloc(0)
        // As TensorFlow Serving has what is no text.
        if (isUtf8(element)) text.text(element, 0, element.length)
        else text.put(`{"b64":"${element.toString('base64')}"}`)
      }
    },
  }
}
