import type { Failure } from '../pipeline/errors.ts'
import { nestedOf } from './nested.ts'
import { invalid, shown, type Tensor } from './tensor.ts'
import { Text } from './text.ts'

/**
 * Tensors as a list of instances or predictions of V1: of one tensor its rows, of several objects with a member for each.
 * @param single the tensors have no dimension for rows: they are one of them
 */
export function writeRows(key: string, tensors: readonly Tensor[], single: boolean): Buffer | Failure {
  const asObjects = tensors.length !== 1
  const text = new Text(64 + tensors.reduce((sum, { data }) => sum + (data?.length ?? 0) * 6, 0))
  const count = single ? 1 : tensors[0]?.shape[0]
  if (count === undefined || (!single && tensors.some(({ shape }) => shape[0] !== count))) {
    return invalid('The tensors do not agree in their first dimension, so that there are no rows that V1 could have.')
  }
  const parts: { name: string; size: number; nested: NonNullable<ReturnType<typeof nestedOf>> }[] = []
  for (const tensor of tensors) {
    const nested = nestedOf(tensor)
    if (nested === undefined) return invalid(`The data of the tensor ${shown(tensor.name)} are not what its datatype and its shape say.`)
    parts.push({ name: tensor.name, nested, size: tensor.shape.slice(single ? 0 : 1).reduce((product, length) => product * length, 1) })
  }
  text.put(`{"${key}":[`)
  for (let row = 0; row < count; row++) {
    if (row > 0) text.put(',')
    if (asObjects) text.put('{')
    for (const [at, { name, size, nested }] of parts.entries()) {
      if (at > 0) text.put(',')
      if (asObjects) text.json(name).put(':')
      nested.put(text, single ? 0 : 1, row * size)
    }
    if (asObjects) text.put('}')
  }
  return text.put(']}').done()
}
