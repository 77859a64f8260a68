import { found } from '../json/find.ts'
import { segmentsOf } from '../json/pointer.ts'
import { Unreadable, worked } from '../json/text.ts'
import type { Part } from './part.ts'

/** What is looked at for it; of more numbers nobody asks how sure they are. Bytes. */
const looksMax = 1_048_576

/**
 * How sure an answer is: the largest of the numbers at the pointer, and of several lists (the rows of a batch) that of
 * the least sure. The values of a V2 tensor (`/outputs/0/data`) are lists as long as its last dimension, also where they
 * are binary. Undefined where there are none.
 */
export function confidenceOf(part: Part, pointer: string): number | undefined {
  const { json } = part
  if (json.length > looksMax) return undefined
  const segments = segmentsOf(pointer)
  const tensor = segments.length === 3 && segments[0] === 'outputs' && segments[2] === 'data' ? valueAt(json, segments.slice(0, 2)) : undefined
  if (isRecord(tensor)) return ofTensor(tensor, part, Number(segments[1]))
  const value = valueAt(json, segments)
  return value === undefined ? undefined : leastSure(value)
}

function valueAt(json: Buffer, segments: readonly string[]): unknown {
  const place = worked(found(json, segments), 0)
  if (place === undefined || place instanceof Promise || place instanceof Unreadable) return undefined
  try {
    return JSON.parse(json.toString('utf8', ...place))
  } catch {
    return undefined
  }
}

function ofTensor({ data, shape, datatype, parameters }: Readonly<Record<string, unknown>>, { json, rest }: Part, index: number): number | undefined {
  const width = Array.isArray(shape) && shape.length > 1 ? Number(shape.at(-1)) : Number.POSITIVE_INFINITY
  if (Array.isArray(data)) return leastSure(data.every((one) => typeof one === 'number') ? rows(data, width) : data)
  const size = sizeOf(parameters)
  if (size === undefined || rest === undefined || size > looksMax) return undefined
  const outputs = valueAt(json, ['outputs'])
  if (!Array.isArray(outputs)) return undefined
  const before = outputs.slice(0, index).reduce((sum: number, one) => sum + (isRecord(one) ? sizeOf(one['parameters']) ?? 0 : 0), 0)
  const numbers = floats(rest.subarray(before, before + size), datatype)
  return numbers && leastSure(rows(numbers, width))
}

function sizeOf(parameters: unknown): number | undefined {
  const size = isRecord(parameters) ? parameters['binary_data_size'] : undefined
  return typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : undefined
}

/** Little-endian; probabilities are FP32 or FP64. */
function floats(bytes: Buffer, datatype: unknown): readonly number[] | undefined {
  const width = datatype === 'FP32' ? 4 : datatype === 'FP64' ? 8 : 0
  if (width === 0 || bytes.length % width !== 0) return undefined
  const read = width === 4 ? (at: number) => bytes.readFloatLE(at) : (at: number) => bytes.readDoubleLE(at)
  return Array.from({ length: bytes.length / width }, (_, i) => read(i * width))
}

function rows(numbers: readonly number[], width: number): readonly (readonly number[])[] {
  if (!(width >= 1) || width >= numbers.length) return [numbers]
  return Array.from({ length: Math.ceil(numbers.length / width) }, (_, i) => numbers.slice(i * width, (i + 1) * width))
}

/** Of numbers the largest; of lists of them the smallest of these. */
function leastSure(value: unknown, depth = 0): number | undefined {
  if (typeof value === 'number') return value
  if (!Array.isArray(value) || value.length === 0 || depth > 16) return undefined
  let [most, least] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (const one of value as readonly unknown[]) {
    const inner = leastSure(one, depth + 1)
    if (inner === undefined || Number.isNaN(inner)) return undefined
    most = Math.max(most, inner)
    least = Math.min(least, inner)
  }
  return Array.isArray(value[0]) ? least : most
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
