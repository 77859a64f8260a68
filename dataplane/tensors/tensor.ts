import type { Failure } from '../pipeline/errors.ts'
import { failure } from '../pipeline/errors.ts'

/** What the Open Inference Protocol (V2) says of a tensor, a request or an answer beside its data: integers are bigints, so that 2 and 2.0 stay what they are. */
export type Parameter = boolean | bigint | number | string
export type Parameters = ReadonlyMap<string, Parameter>

/** Of a request or of an answer, in no form of its own. */
export type Tensor = Readonly<{
  name: string
  datatype: string
  shape: readonly number[]
  parameters: Parameters
  /**
   * As the protocol has them in binary: in row-major order, little-endian; of BYTES each element after its length in four
   * bytes. Undefined: they are elsewhere (shared memory), or none were sent.
   */
  data: Buffer | undefined
}>

/** A ModelInferRequest or a ModelInferResponse. What is empty was not said. */
export type Infer = Readonly<{
  model: string
  version: string
  id: string
  parameters: Parameters
  tensors: readonly Tensor[]
  /** Of a request: which outputs are asked for, and how; empty: all of them. */
  outputs: readonly Readonly<{ name: string; parameters: Parameters }>[]
}>

export const noParameters: Parameters = new Map()

/** Bytes of one element; undefined: of BYTES, or no datatype that is known. */
export const widths: ReadonlyMap<string, number> = new Map([
  ['BOOL', 1], ['INT8', 1], ['UINT8', 1], ['INT16', 2], ['UINT16', 2], ['FP16', 2], ['BF16', 2],
  ['INT32', 4], ['UINT32', 4], ['FP32', 4], ['INT64', 8], ['UINT64', 8], ['FP64', 8],
])

/** Dimensions of a shape, and tensors of a message: more than any model has. */
export const rankMax = 32
export const tensorsMax = 1024

/** How many elements a shape has; undefined: it is none, or has more than could be counted. */
export function elementsOf(shape: readonly number[]): number | undefined {
  let count = 1
  for (const length of shape) {
    if (!Number.isSafeInteger(length) || length < 0) return undefined
    count *= length
  }
  return Number.isSafeInteger(count) ? count : undefined
}

/** Names are the caller's or the model's. */
export const shown = (name: string): string => JSON.stringify(name.slice(0, 64))

export const invalid = (why: string): Failure => failure('invalid_request', why)
