import type { Misfit } from '../../../table/schema/schema.ts'
import type { Side } from '../../tensors/read_json.ts'
import { elementsOf, shown, widths } from '../../tensors/tensor.ts'

/** A tensor as a model describes it; a dimension of -1 is of any length. */
export type TensorInfo = Readonly<{ name: string; datatype: string; shape: readonly number[] }>

/** What a model takes (`inputs`) or gives (`outputs`), as it says itself. */
export type Takes = Readonly<{
  side: Side
  tensors: readonly TensorInfo[]
  /** Inputs that need not be there. An answer may leave out any output. */
  optional: readonly string[]
  /** Of a request: what may be asked for. */
  outputs: readonly string[]
}>

/** Faults that are told of one body. */
const misfitsMax = 16

/** What is found wrong, as far as it is told. */
export class Findings {
  readonly misfits: Misfit[] = []

  add(pointer: string, why: string): void {
    if (this.misfits.length < misfitsMax) this.misfits.push({ pointer, why })
  }
}

export const nounOf = ({ side }: Takes) => (side === 'inputs' ? 'input' : 'output')

/** A tensor as a body describes it. @returns as the model does; undefined: it has none of that name */
export function compare(found: Readonly<{ name: string | undefined; datatype: string | undefined; shape: readonly number[] | undefined }>, pointer: string, takes: Takes, findings: Findings): TensorInfo | undefined {
  const { name, datatype, shape } = found
  if (name === undefined) {
    findings.add(`${pointer}/name`, 'is missing')
    return undefined
  }
  const info = takes.tensors.find((one) => one.name === name)
  if (info === undefined) {
    findings.add(`${pointer}/name`, `is no ${nounOf(takes)} of the model`)
    return undefined
  }
  if (datatype !== info.datatype) findings.add(`${pointer}/datatype`, datatype === undefined ? 'is missing' : `must be ${info.datatype}`)
  if (shape === undefined) findings.add(`${pointer}/shape`, 'must be a list of whole numbers')
  else if (shape.length !== info.shape.length) findings.add(`${pointer}/shape`, `must have ${info.shape.length} dimensions, as ${lengths(info.shape)}`)
  else for (const [at, length] of info.shape.entries()) if (length >= 0 && shape[at] !== length) findings.add(`${pointer}/shape/${at}`, `must be ${length}`)
  return info
}

export const lengths = (shape: readonly number[]) => `[${shape.join(',')}]`

/** Bytes that a tensor has in binary; undefined: its elements are of any length, or it has no such shape. */
export function bytesOf(datatype: string | undefined, shape: readonly number[] | undefined): number | undefined {
  const width = widths.get(datatype ?? '')
  const count = shape && elementsOf(shape)
  return width === undefined || count === undefined ? undefined : width * count
}

/** Inputs that must be there. */
export function missing(names: ReadonlySet<string>, pointer: string, takes: Takes, findings: Findings): void {
  if (takes.side === 'outputs') return
  for (const { name } of takes.tensors) {
    if (!names.has(name) && !takes.optional.includes(name)) findings.add(pointer, `has no ${shown(name)}`)
  }
}

const words: Readonly<Record<string, readonly string[]>> = { BOOL: ['truth', 'whole'], BYTES: ['text'] }

/** Whether values of JSON of that kind are what the datatype holds. */
export function holds(datatype: string, kind: 'whole' | 'fraction' | 'truth' | 'text' | 'none'): boolean {
  if (kind === 'none' || (datatype !== 'BYTES' && !widths.has(datatype))) return true
  const wanted = words[datatype] ?? (/FP|BF/.test(datatype) ? ['whole', 'fraction'] : ['whole'])
  return wanted.includes(kind)
}

export const kindOf = (datatype: string) => (datatype === 'BYTES' ? 'texts' : datatype === 'BOOL' ? 'true or false' : /FP|BF/.test(datatype) ? 'numbers' : 'whole numbers')
