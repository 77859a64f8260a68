import type { Failure } from '../pipeline/errors.ts'
import { failure } from '../pipeline/errors.ts'
import { readData } from './read_json.ts'
import { shapeOf } from './shapes.ts'
import { Spans } from './spans.ts'
import { invalid, noParameters, shown, tensorsMax, type Tensor } from './tensor.ts'
import { Text } from './text.ts'

/** A tensor as a model wants it. Of a shape, -1 is any length. */
export type Wanted = Readonly<{ name: string; datatype: string; shape: readonly number[] }>

type Span = readonly [from: number, to: number]

/** Where V1 has its values, by row and by column. */
export type RowNames = Readonly<{ rows: string; columns?: string }>

/** What V1 has of instances: each a value, or an object with a value for each tensor. */
export type Rows = Readonly<{ tensors: readonly Tensor[]; /** A model without a dimension for that was given the only one. */ single: boolean }>

/**
 * The tensors of what V1 calls `instances` or `predictions` (by row), or `inputs` (by column).
 * @param wanted what the model says that it takes; nothing: names and datatypes are made up of what is there
 * @param unnamed what the only tensor is called where nothing says it
 */
export function readRows(body: Buffer, keys: RowNames, wanted: readonly Wanted[], unnamed: string): Rows | Failure {
  const json = new Spans(body)
  let rows: Span | undefined
  let columns: Span | undefined
  let unknown = ''
  const end = json.members(json.space(0), (name, from) => {
    const to = json.skip(from)
    if (name === keys.rows) rows = [from, to]
    else if (name === keys.columns) columns = [from, to]
    else if (json.value(from, to) !== null) unknown ||= name
    return to
  })
  if (end === -1 || json.space(end) !== body.length) return invalid('The body is not one object of JSON with every member named once.')
  if (unknown !== '' && keys.columns !== undefined) return failure('unsupported_translation', `${shown(unknown)} is nothing that a request of V2 has.`)
  const terms: Terms = { wanted, unnamed }
  if (rows !== undefined) return readInstances(json, rows, terms)
  if (columns === undefined) return invalid(`The body has no ${shown(keys.rows)}.`)
  const [from, to] = columns
  if (body[from] !== 0x7b) return gather([tensorOf(json, '', [from, to], terms)])
  const tensors: (Fitted | Failure)[] = []
  json.members(from, (name, at) => {
    const until = json.skip(at)
    tensors.push(tensorOf(json, name, [at, until], terms))
    return tensors.length > tensorsMax ? -1 : until
  })
  return gather(tensors)
}

type Terms = Readonly<{ wanted: readonly Wanted[]; unnamed: string }>
type Fitted = Readonly<{ tensor: Tensor; single: boolean }>

function gather(fitted: readonly (Fitted | Failure)[]): Rows | Failure {
  const tensors: Tensor[] = []
  let single = false
  for (const one of fitted) {
    if ('code' in one) return one
    tensors.push(one.tensor)
    single ||= one.single
  }
  return { tensors, single }
}

function readInstances(json: Spans, [from, to]: Span, terms: Terms): Rows | Failure {
  const byName = new Map<string, Span[]>()
  let count = 0
  let objects = 0
  const end = json.elements(from, (at) => {
    count++
    if (json.bytes[at] !== 0x7b) return json.skip(at)
    objects++
    return json.members(at, (name, inside) => {
      const until = json.skip(inside)
      const spans = byName.get(name)
      if (spans === undefined) byName.set(name, [[inside, until]])
      else spans.push([inside, until])
      return byName.size > tensorsMax ? -1 : until
    })
  })
  if (end === -1) return invalid('The instances are no list of JSON.')
  if (objects === 0) return gather([tensorOf(json, '', [from, to], terms)])
  if (objects !== count || [...byName.values()].some((spans) => spans.length !== count)) return invalid('The instances are not all of one kind, with the same names.')
  const base64 = byName.size === 1 ? byName.get('b64') : undefined
  if (base64 !== undefined) return gather([base64Of(json, base64, terms)])
  return gather([...byName].map(([name, spans]) => {
    const text = joinedIn(json, spans)
    return tensorOf(new Spans(text), name, [0, text.length], terms)
  }))
}

/** Values that stand in many places as one list. */
function joinedIn(json: Spans, spans: readonly Span[]): Buffer {
  const text = new Text(spans.reduce((sum, [from, to]) => sum + to - from + 1, 2))
  text.put('[')
  for (const [at, [from, to]] of spans.entries()) {
    if (at > 0) text.put(',')
    text.bytes(json.bytes.subarray(from, to))
  }
  return text.put(']').done()
}

/** Instances that are bytes, as TensorFlow Serving has them: `{"b64": "…"}`. */
function base64Of(json: Spans, spans: readonly Span[], terms: Terms): Fitted | Failure {
  const parts: Buffer[] = []
  for (const [from, to] of spans) {
    const written = json.bytes.toString('latin1', from, to)
    if (!/^"[A-Za-z0-9+/]*={0,2}"$/.test(written)) return invalid('"b64" of an instance is not base64.')
    const bytes = Buffer.from(written.slice(1, -1), 'base64')
    const head = Buffer.alloc(4)
    head.writeUInt32LE(bytes.length)
    parts.push(head, bytes)
  }
  return fitted('', 'BYTES', [spans.length], Buffer.concat(parts), terms)
}

/** Where the model says nothing: what can hold whatever was written. */
const datatypes = { whole: 'INT64', fraction: 'FP64', truth: 'BOOL', text: 'BYTES', none: 'FP64' } as const

/** @param name empty: of the only tensor there is */
function tensorOf(json: Spans, name: string, [from, to]: Span, terms: Terms): Fitted | Failure {
  const found = shapeOf(json, from, to)
  if (found === undefined) return invalid(`The values${name === '' ? '' : ` of ${shown(name)}`} are not all of one kind, or the lists of them not all of one length.`)
  const datatype = wantedOf(name, terms)?.datatype ?? datatypes[found.kind]
  const list = json.bytes[from] === 0x5b ? json.bytes.subarray(from, to) : joinedIn(json, [[from, to]])
  const data = readData(list, [0, list.length], datatype, found.shape)
  return data === undefined ? invalid(`The values${name === '' ? '' : ` of ${shown(name)}`} are not ${datatype}.`) : fitted(name, datatype, found.shape, data, terms)
}

const wantedOf = (name: string, { wanted }: Terms) => name === '' ? (wanted.length === 1 ? wanted[0] : undefined) : wanted.find((one) => one.name === name)

/** In the rank that the model wants, where that differs by a dimension of one. */
function fitted(name: string, datatype: string, shape: readonly number[], data: Buffer, terms: Terms): Fitted {
  const wanted = wantedOf(name, terms)
  const single = wanted !== undefined && shape.length === wanted.shape.length + 1 && shape[0] === 1
  const fit = single ? shape.slice(1) : wanted !== undefined && shape.length + 1 === wanted.shape.length ? [...shape, 1] : shape
  return { tensor: { name: wanted?.name ?? (name || terms.unnamed), datatype, shape: fit, parameters: noParameters, data }, single }
}
