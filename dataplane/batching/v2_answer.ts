import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import { membersOf } from '../protocols/json.ts'
import type { Sliced } from '../sliced.ts'
import type { Called } from '../upstream/call.ts'
import { rowEnds } from './binary.ts'
import { perRow, restOf, shapeIn, spansOf, textOf } from './members.ts'
import { rowsOf } from './rows.ts'
import { bytesOf, listed, type Share, type Single } from './single.ts'

/** One tensor of an answer, and how rows are cut out of it. */
type Output = Readonly<{
  binary: boolean
  /** Name, datatype and the like, each with a comma after it. */
  head: Buffer
  shape: readonly number[]
  /** The values of some rows. */
  values(from: number, to: number): Buffer
}>

/** An answer of V2, cut into what each asked for: its rows of every tensor, with its own id. */
export function* splitV2({ headers, body }: Pick<Called, 'headers' | 'body'>, all: readonly Single[]): Sliced<readonly Share[] | undefined> {
  const said = valueOf(headers, 'inference-header-content-length')
  const length = said === undefined ? body.length : Number(said)
  if (!(length <= body.length)) return undefined
  const json = body.subarray(0, length)
  const members = membersOf(json)
  const place = members?.place('outputs')
  const spans = place && (yield* spansOf(json, ...place))
  if (members === undefined || spans === undefined) return undefined
  const rows = all.reduce((sum, { rows: own }) => sum + own, 0)
  const outputs: Output[] = []
  let at = length
  for (const [from, to] of spans) {
    const output = yield* outputOf(json.subarray(from, to), body.subarray(at), rows)
    if (output === undefined) return undefined
    if (output.binary) at += output.values(0, rows).length
    outputs.push(output)
  }
  if (at !== body.length) return undefined
  const rest = restOf(json, members, ['id', 'outputs'])
  const shares: Share[] = []
  let row = 0
  for (const single of all) {
    shares.push(shareOf(single, rest, outputs, row))
    row += single.rows
    yield
  }
  return shares
}

function* outputOf(json: Buffer, binary: Buffer, rows: number): Sliced<Output | undefined> {
  const members = membersOf(json)
  const shape = shapeIn(members?.value('shape'))
  const datatype = members?.value('datatype')
  if (members === undefined || shape?.[0] !== rows || typeof datatype !== 'string') return undefined
  const head = restOf(json, members, ['shape', 'data', 'parameters'])
  const text = textOf(json, members, 'parameters')
  const parameters = text === undefined ? undefined : membersOf(text)
  if (text !== undefined && parameters === undefined) return undefined
  const others = text === undefined || parameters === undefined ? nothing : restOf(text, parameters, ['binary_data_size'])
  const size = parameters?.value('binary_data_size')
  const rowShape = shape.slice(1)
  if (typeof size === 'number') {
    const values = binary.subarray(0, size)
    const ends = values.length === size ? rowEnds(values, datatype, rows, perRow(shape)) : undefined
    return ends && { binary: true, head: bytesOf([head, '"parameters":{', others]), shape: rowShape, values: (from, to) => values.subarray(from === 0 ? 0 : ends[from - 1], ends[to - 1]) }
  }
  const place = members.place('data')
  const data = textOf(json, members, 'data')
  const found = place && data && (yield* rowsOf(json, place[0], place[0] + data.length, shape))
  return found && {
    binary: false, head: others.length === 0 ? head : bytesOf([head, '"parameters":{', others.subarray(0, -1), '},']), shape: rowShape,
    values: (from, to) => json.subarray(found.starts[from], found.ends[to - 1]),
  }
}

function shareOf({ id, rows }: Single, rest: Buffer, outputs: readonly Output[], row: number): Share {
  const tensors: Buffer[] = []
  const chunks: Buffer[] = []
  for (const { binary, head, shape, values } of outputs) {
    const own = values(row, row + rows)
    const dimensions = `"shape":[${[rows, ...shape].join()}]`
    tensors.push(bytesOf(binary ? ['{', head, `"binary_data_size":${own.length}},${dimensions}}`] : ['{', head, dimensions, ',"data":[', own, ']}']))
    if (binary) chunks.push(own)
  }
  const json = bytesOf(['{', ...(id === undefined ? [] : ['"id":', id, ',']), rest, '"outputs":[', ...listed(tensors), ']}'])
  const inBinary = outputs.some(({ binary }) => binary)
  const headers: FlatHeaders = inBinary ? ['content-type', 'application/octet-stream', 'inference-header-content-length', String(json.length)] : ['content-type', 'application/json']
  return { headers, body: inBinary ? Buffer.concat([json, ...chunks]) : json }
}

const nothing = Buffer.alloc(0)
