import type { TensorInfo } from './question.ts'

/** Which of several tensors is meant: the only one, or the one that is called as models usually call it. */
export function theOne<T extends TensorInfo>(tensors: readonly T[], names: readonly string[]): T | undefined {
  const [first, ...more] = tensors
  return more.length === 0 ? first : names.map((name) => tensors.find((one) => one.name === name)).find((one) => one !== undefined)
}

/** So many texts in a shape of the model's rank, with one dimension for them; undefined: it has none. */
export function fitting(wanted: readonly number[], count: number): readonly number[] | undefined {
  const free = wanted.findIndex((length) => length === -1 || length === count)
  if (free === -1 ? count > 1 || wanted.some((length) => length > 1) : wanted.some((length, at) => at !== free && length > 1)) return undefined
  return wanted.map((_, at) => at === free ? count : 1)
}
