import { valueOf } from '../pipeline/headers.ts'
import { membersOf, type Members } from '../protocols/json.ts'
import type { Sliced } from '../sliced.ts'
import { rowEnds } from './binary.ts'
import { perRow, restOf, shapeIn, spansOf, textOf } from './members.ts'
import { rowsOf } from './rows.ts'
import { bytesOf, listed, type Joined, type ReadSingle, type Single } from './single.ts'
import { splitV2 } from './v2_answer.ts'

/** One tensor of a request, without its values. */
type Column = Readonly<{
  /** Name, datatype and parameters, as they are written, each with a comma after it. */
  head: Buffer
  /** Of one row. */
  shape: readonly number[]
  /** In binary; else whether its rows are lists. */
  form: 'binary' | 'nested' | 'flat'
  rows: number
  values: Buffer
}>

/** Whose members a request may have. */
const known = new Set(['id', 'parameters', 'inputs', 'outputs'])

/** `/infer` of the Open Inference Protocol over REST, with JSON and binary tensors: rows are what the first dimension counts. */
export const readV2: ReadSingle = function* (body, headers) {
  const said = valueOf(headers, 'inference-header-content-length')
  const length = said === undefined ? body.length : /^\d{1,9}$/.test(said) ? Number(said) : Number.NaN
  if (!(length <= body.length)) return unread
  const json = body.subarray(0, length)
  const members = membersOf(json)
  const place = members?.place('inputs')
  if (members === undefined || place === undefined) return unread
  for (const name of members.names()) if (!known.has(name)) return `it has a member ${JSON.stringify(name.slice(0, 40))}`
  if (isOfSequence(members.value('parameters'))) return 'it is part of a sequence'
  const columns: Column[] = []
  let at = length
  for (const [from, to] of (yield* spansOf(json, ...place)) ?? []) {
    const column = yield* columnOf(json.subarray(from, to), body.subarray(at))
    if (typeof column === 'string') return column
    if (column.form === 'binary') at += column.values.length
    columns.push(column)
  }
  const rows = columns[0]?.rows
  if (rows === undefined || at !== body.length) return unread
  if (columns.some((column) => column.rows !== rows)) return 'its tensors have different numbers of rows'
  const rest = restOf(json, members, ['id', 'inputs'])
  if (rest.includes('shared_memory')) return 'its answer goes to shared memory'
  return {
    kind: [rest.toString('latin1'), ...columns.map(({ head, shape, form }) => `${head.toString('latin1')}[${shape.join()}]${form}`)].join('\n'),
    rows, id: textOf(json, members, 'id'), columns: columns.map(({ values }) => values),
    join: (all) => join(all, columns, rest),
  }
}

const unread = 'its tensors cannot be read'

/** What a model remembers of one request when the next one comes. */
function isOfSequence(parameters: unknown): boolean {
  return typeof parameters === 'object' && parameters !== null && Object.keys(parameters).some((name) => name.startsWith('sequence_'))
}

function* columnOf(json: Buffer, binary: Buffer): Sliced<Column | string> {
  const members = membersOf(json)
  const shape = shapeIn(members?.value('shape'))
  const datatype = members?.value('datatype')
  if (members === undefined || shape === undefined || typeof datatype !== 'string') return unread
  const [rows = 0, ...rowShape] = shape
  const parameters = parametersOf(json, members)
  if (parameters === undefined) return 'its tensors have parameters that cannot be joined'
  const head = restOf(json, members, ['shape', 'data', 'parameters'])
  const { rest, size } = parameters
  if (size === undefined) {
    const place = members.place('data')
    const text = place && textOf(json, members, 'data')
    const found = place && text && (yield* rowsOf(json, place[0], place[0] + text.length, shape))
    if (found === undefined) return unread
    const form = found.nested ? 'nested' : 'flat'
    return {
      head: rest.length === 0 ? head : bytesOf([head, '"parameters":{', rest.subarray(0, -1), '},']),
      shape: rowShape, form, rows, values: json.subarray(found.starts[0], found.ends.at(-1)),
    }
  }
  const values = binary.subarray(0, size)
  if (values.length !== size || members.place('data') !== undefined || rowEnds(values, datatype, rows, perRow(shape)) === undefined) return unread
  return { head: bytesOf([head, '"parameters":{', rest]), shape: rowShape, form: 'binary', rows, values }
}

/** The parameters of a tensor, and of those the one that says how many bytes it has. Undefined: they are not for several. */
function parametersOf(json: Buffer, members: Members): { rest: Buffer; size: number | undefined } | undefined {
  const text = textOf(json, members, 'parameters')
  if (text === undefined) return { rest: Buffer.alloc(0), size: undefined }
  const inner = membersOf(text)
  const size = inner?.value('binary_data_size')
  if (inner === undefined || [...inner.names()].some((name) => name.startsWith('shared_memory'))) return undefined
  if (size !== undefined && !(typeof size === 'number' && Number.isSafeInteger(size) && size >= 0)) return undefined
  return { rest: restOf(text, inner, ['binary_data_size']), size }
}

function join(all: readonly Single[], columns: readonly Column[], rest: Buffer): Joined {
  const rows = all.reduce((sum, { rows: own }) => sum + own, 0)
  const tensors: Buffer[] = []
  const binary: Buffer[] = []
  for (const [at, { head, shape, form }] of columns.entries()) {
    const values = all.map((single) => single.columns[at] ?? nothing)
    const parts: (Buffer | string)[] = ['{', head]
    if (form === 'binary') {
      parts.push(`"binary_data_size":${values.reduce((sum, { length }) => sum + length, 0)}},"shape":[${[rows, ...shape].join()}]}`)
      binary.push(...values)
    } else parts.push(`"shape":[${[rows, ...shape].join()}],"data":[`, ...listed(values), ']}')
    tensors.push(bytesOf(parts))
  }
  const json = bytesOf(['{', rest, '"inputs":[', ...listed(tensors), ']}'])
  const inBinary = columns.some(({ form }) => form === 'binary')
  return {
    headers: inBinary ? ['content-type', 'application/octet-stream', 'inference-header-content-length', String(json.length)] : ['content-type', 'application/json'],
    body: inBinary ? Buffer.concat([json, ...binary]) : json,
    split: (answer) => splitV2(answer, all),
  }
}

const nothing = Buffer.alloc(0)
