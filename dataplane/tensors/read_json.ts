import type { Failure } from '../pipeline/errors.ts'
import { failure } from '../pipeline/errors.ts'
import { readParameters } from './parameters.ts'
import { readNumbers } from './read_numbers.ts'
import { Spans } from './spans.ts'
import { elementsOf, invalid, noParameters, rankMax, shown, tensorsMax, widths, type Infer, type Parameter, type Parameters, type Tensor } from './tensor.ts'
import { readTexts } from './texts.ts'

/** Where a message of V2 has its tensors: a request, or an answer. */
export type Side = 'inputs' | 'outputs'

type Draft = { name: string; datatype: string; shape: readonly number[] | undefined; parameters: Parameters; data: readonly [from: number, to: number] | undefined }

/**
 * A request or an answer of V2 over REST: its JSON, and after it the bytes of those tensors that have their data there
 * (binary tensor data extension). What is no such message is an `invalid_request`, whoever sent it.
 * @param binary those bytes; or how many there will be: then the tensors that are there have no data yet, and keep their
 * `binary_data_size`
 */
export function readJson(side: Side, bytes: Buffer, binary: Buffer | number): Infer | Failure {
  const json = new Spans(bytes)
  const drafts: Draft[] = []
  const outputs: { name: string; parameters: Parameters }[] = []
  const texts = new Map([['model_name', ''], ['model_version', ''], ['id', '']])
  let parameters: Parameters = noParameters
  let found = false
  let fault: Failure | undefined
  const end = json.members(json.space(0), (name, from) => {
    if (name === side || (side === 'inputs' && name === 'outputs')) {
      if (json.bytes[from] === 0x6e) return json.skip(from)
      found ||= name === side
      return json.elements(from, (at) => {
        const draft = readDraft(json, at, side === 'outputs')
        if ('code' in draft) {
          fault ??= draft
          return -1
        }
        if (name === side) drafts.push(draft)
        else outputs.push(draft)
        return drafts.length + outputs.length > tensorsMax ? -1 : draft.end
      })
    }
    if (name === 'parameters' && json.bytes[from] === 0x7b) {
      const read = readParameters(json, from, side === 'outputs')
      if ('code' in read) {
        fault ??= read
        return -1
      }
      parameters = read.parameters
      return read.end
    }
    const to = json.skip(from)
    const value = to === -1 ? undefined : json.value(from, to)
    if (texts.has(name) && (typeof value === 'string' || typeof value === 'number')) texts.set(name, String(value))
    else if (value !== null && side === 'inputs') fault ??= failure('unsupported_translation', `${shown(name)} is nothing that a request of V2 has.`)
    return to
  })
  if (fault !== undefined) return fault
  if (end === -1 || json.space(end) !== bytes.length) return invalid('The body is not one object of JSON with every member named once.')
  if (!found) return invalid(`The body has no ${shown(side)}.`)
  const tensors = settle(json, drafts, binary)
  if (!Array.isArray(tensors)) return tensors
  return { model: texts.get('model_name') ?? '', version: texts.get('model_version') ?? '', id: texts.get('id') ?? '', parameters, tensors, outputs }
}

function readDraft(json: Spans, from: number, lenient: boolean): Draft & { end: number } | Failure {
  const draft: Draft = { name: '', datatype: '', shape: undefined, parameters: noParameters, data: undefined }
  let fault: Failure | undefined
  const end = json.members(from, (name, at) => {
    if (name === 'parameters' && json.bytes[at] === 0x7b) {
      const read = readParameters(json, at, lenient)
      if ('code' in read) {
        fault ??= read
        return -1
      }
      draft.parameters = read.parameters
      return read.end
    }
    const to = json.skip(at)
    if (name === 'data') draft.data = [at, to]
    else {
      const value = to === -1 ? undefined : json.value(at, to)
      if (name === 'shape' && isShape(value)) draft.shape = value
      else if ((name === 'name' || name === 'datatype') && typeof value === 'string') draft[name] = value
      else if (value !== null && !lenient) fault ??= invalid(`${shown(name)} of a tensor is not what it should be.`)
    }
    return to
  })
  if (fault !== undefined) return fault
  return end === -1 ? invalid('A tensor is not an object of JSON with every member named once.') : { ...draft, end }
}

const isShape = (value: unknown): value is readonly number[] => Array.isArray(value) && value.length <= rankMax && elementsOf(value as readonly number[]) !== undefined

/** The data of each, now that its datatype and shape are known. */
function settle(json: Spans, drafts: readonly Draft[], binary: Buffer | number): Tensor[] | Failure {
  const tensors: Tensor[] = []
  const length = typeof binary === 'number' ? binary : binary.length
  let at = 0
  for (const { name, datatype, shape, parameters: said, data: list } of drafts) {
    if (shape === undefined) return invalid(`The tensor ${shown(name)} has no shape.`)
    const parameters = new Map<string, Parameter>(said)
    const size = parameters.get('binary_data_size')
    if (typeof binary !== 'number') parameters.delete('binary_data_size')
    let data: Buffer | undefined
    if (typeof size === 'bigint') {
      const end = at + Number(size)
      if (size < 0n || end > length) return invalid(`The tensor ${shown(name)} should have ${size} bytes after the JSON, and there are ${length - at}.`)
      if (typeof binary !== 'number') data = binary.subarray(at, end)
      at = end
    } else if (list !== undefined) {
      const read = readData(json.bytes, list, datatype, shape)
      if (read === undefined) return invalid(`The data of the tensor ${shown(name)} are not what its datatype ${shown(datatype)} and its shape say.`)
      data = read
    }
    tensors.push({ name, datatype, shape, parameters, data })
  }
  return at === length ? tensors : invalid(`There are ${length - at} bytes after the JSON that belong to no tensor.`)
}

/** The elements of a list of JSON, which begins with its bracket, in binary. */
export function readData(bytes: Buffer, [from, to]: readonly [from: number, to: number], datatype: string, shape: readonly number[]): Buffer | undefined {
  const count = elementsOf(shape)
  const width = widths.get(datatype)
  if (count === undefined || bytes[from] !== 0x5b) return undefined
  if (width !== undefined) return readNumbers(datatype, bytes, from, to, count, width)
  return datatype === 'BYTES' ? readTexts(bytes, from, to, count) : undefined
}
