import { membersOf } from '../protocols/json.ts'
import type { Sliced } from '../sliced.ts'
import { restOf, spansOf } from './members.ts'
import { bytesOf, listed, type Joined, type ReadSingle, type Share, type Single } from './single.ts'

/** `:predict` of KServe's V1 protocol: an instance for each prediction, and a prediction for each instance. */
export const readV1: ReadSingle = function* (body) {
  const members = membersOf(body)
  const place = members?.place('instances')
  if (members === undefined || place === undefined) return 'it has no list of instances'
  const rows = yield* spansOf(body, ...place)
  if (rows === undefined || rows.length === 0) return 'it has no list of instances'
  const rest = restOf(body, members, ['instances'])
  return {
    kind: rest.toString('latin1'), rows: rows.length, id: undefined, columns: [body.subarray(rows[0]?.[0], rows.at(-1)?.[1])],
    join: (all) => join(all, rest),
  }
}

function join(all: readonly Single[], rest: Buffer): Joined {
  return {
    headers: json,
    body: bytesOf(['{', rest, '"instances":[', ...listed(all.flatMap(({ columns }) => columns)), ']}']),
    split: ({ body }) => split(body, all),
  }
}

function* split(body: Buffer, all: readonly Single[]): Sliced<readonly Share[] | undefined> {
  const members = membersOf(body)
  const place = members?.place('predictions')
  if (members === undefined || place === undefined) return undefined
  const spans = yield* spansOf(body, ...place)
  if (spans?.length !== all.reduce((sum, { rows }) => sum + rows, 0)) return undefined
  const rest = restOf(body, members, ['predictions'])
  let row = 0
  return all.map(({ rows }) => {
    const values = body.subarray(spans[row]?.[0], spans[row + rows - 1]?.[1])
    row += rows
    return { headers: json, body: bytesOf(['{', rest, '"predictions":[', values, ']}']) }
  })
}

const json = ['content-type', 'application/json']
