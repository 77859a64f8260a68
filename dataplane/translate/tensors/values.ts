import { isUtf8 } from 'node:buffer'
import { readData } from '../../tensors/read_json.ts'
import { noParameters, type Tensor } from '../../tensors/tensor.ts'
import { Text } from '../../tensors/text.ts'
import { eachText } from '../../tensors/texts.ts'
import { putNumbers } from '../../tensors/write_numbers.ts'

/** Small tensors as the values that they hold: parameters, and what a model says piece by piece. */

/** More is no parameter and no piece. */
const elementsMax = 16_384

export const lengthOf = ({ shape }: Tensor): number => shape.reduce((product, length) => product * length, 1)

/** Undefined: too many, or none that JSON has. */
export function elementsIn(tensor: Tensor): readonly unknown[] | undefined {
  const { datatype, data } = tensor
  const length = lengthOf(tensor)
  if (data === undefined || length > elementsMax) return undefined
  if (datatype === 'BYTES') return textsIn(tensor)
  const put = putNumbers[datatype]
  if (put === undefined) return undefined
  const text = new Text().put('[')
  put(text, data, 0, length)
  try {
    const values: unknown = JSON.parse(text.put(']').done().toString())
    return Array.isArray(values) ? values : undefined
  } catch {
    return undefined
  }
}

/** Undefined: they are no texts. */
export function textsIn({ data }: Tensor): readonly string[] | undefined {
  const texts: string[] = []
  let text = true
  const whole = data !== undefined && eachText(data, (from, to) => {
    const element = data.subarray(from, to)
    text &&= isUtf8(element)
    if (text) texts.push(element.toString())
  })
  return whole && text ? texts : undefined
}

export function textsAs(name: string, shape: readonly number[], texts: readonly string[]): Tensor {
  const data = texts.flatMap((text) => {
    const element = Buffer.from(text)
    const head = Buffer.alloc(4)
    head.writeUInt32LE(element.length)
    return [head, element]
  })
  return { name, datatype: 'BYTES', shape, parameters: noParameters, data: Buffer.concat(data) }
}

/** A value, or a list of them, as a tensor of this datatype; in its last dimension, after others of one. Undefined: it cannot be. */
export function tensorOf(name: string, value: unknown, datatype: string, rank: number): Tensor | undefined {
  const elements: readonly unknown[] = Array.isArray(value) ? value : [value]
  const shape = [...Array.from({ length: Math.max(0, rank - 1) }, () => 1), elements.length]
  if (datatype === 'BYTES') return elements.every((element) => typeof element === 'string') ? textsAs(name, shape, elements) : undefined
  const list = Buffer.from(JSON.stringify(elements))
  const data = readData(list, [0, list.length], datatype, shape)
  return data && { name, datatype, shape, parameters: noParameters, data }
}

/** What can hold a value where nothing says its datatype. */
export function datatypeOf(value: unknown): string | undefined {
  const [first]: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (typeof first === 'string') return 'BYTES'
  if (typeof first === 'boolean') return 'BOOL'
  return typeof first === 'number' ? (Number.isSafeInteger(first) ? 'INT64' : 'FP64') : undefined
}
