import { isUtf8 } from 'node:buffer'
import { escaped } from '../../json/pointer.ts'
import { shapeOf } from '../../tensors/shapes.ts'
import { Spans } from '../../tensors/spans.ts'
import { shown } from '../../tensors/tensor.ts'
import type { Verdict } from '../verdict.ts'
import { Findings, holds, kindOf, lengths, nounOf, type Takes, type TensorInfo } from './takes.ts'

/** Where a body of V1 has its values: a list with one for each row, or all of them by the names of tensors. */
const keys = { inputs: { rows: 'instances', columns: 'inputs' }, outputs: { rows: 'predictions', columns: 'outputs' } } as const

/** A request or an answer of V1, which has neither datatypes nor shapes, beside what the model says: what its values are like. */
export function rowMisfits(bytes: Buffer, takes: Takes): Verdict {
  const json = new Spans(bytes)
  const findings = new Findings()
  const { rows, columns } = keys[takes.side]
  const places = new Map<string, readonly [from: number, to: number]>()
  const end = json.members(json.space(0), (name, from) => {
    const to = json.skip(from)
    if (to !== -1 && (name === rows || name === columns)) places.set(name, [from, to])
    return to
  })
  if (end === -1 || json.space(end) !== bytes.length || !isUtf8(bytes)) return 'unreadable'
  const [inRows, inColumns] = [places.get(rows), places.get(columns)]
  if (inRows !== undefined) {
    if (!readRows(json, inRows, `/${rows}`, { takes, findings })) return 'unreadable'
  } else if (inColumns === undefined) findings.add(`/${rows}`, 'is missing')
  else if (bytes[inColumns[0]] === 0x7b) {
    if (readNamed(json, inColumns[0], `/${columns}`, 'whole', { takes, findings }) === -1) return 'unreadable'
  } else only(json, inColumns, `/${columns}`, { takes, findings })
  return findings.misfits.length === 0 ? 'fits' : findings.misfits
}

type Reading = Readonly<{ takes: Takes; findings: Findings }>

function readRows(json: Spans, [from, to]: readonly [from: number, to: number], pointer: string, reading: Reading): boolean {
  const { findings } = reading
  if (json.bytes[from] !== 0x5b) {
    findings.add(pointer, 'must be a list')
    return true
  }
  // What begins with an object is told apart by names; but bytes (`{"b64": …}`) are a text.
  const first = json.space(from + 1)
  if (json.bytes[first] !== 0x7b) {
    only(json, [from, to], pointer, reading)
    return true
  }
  const { takes: { tensors } } = reading
  if (tensors.length === 1 && tensors[0]?.datatype === 'BYTES' && isBytes(json, first)) return true
  let at = 0
  return json.elements(from, (start) => {
    const place = `${pointer}/${at++}`
    if (json.bytes[start] === 0x7b) return readNamed(json, start, place, 'row', reading)
    findings.add(place, 'must be an object, as the first one is')
    return json.skip(start)
  }) !== -1
}

const isBytes = (json: Spans, from: number) => /^\{\s*"b64"/.test(json.bytes.toString('latin1', from, from + 16))

function readNamed(json: Spans, from: number, pointer: string, of: 'row' | 'whole', reading: Reading): number {
  const { takes, findings } = reading
  const names = new Set<string>()
  const end = json.members(from, (name, at) => {
    const to = json.skip(at)
    if (to === -1) return -1
    names.add(name)
    const place = `${pointer}/${escaped(name)}`
    const info = takes.tensors.find((one) => one.name === name)
    if (info === undefined) findings.add(place, `is no ${nounOf(takes)} of the model`)
    // Each row has its place in the first dimension.
    else values(json, [at, to], place, of === 'row' ? { ...info, shape: info.shape.slice(1) } : info, findings)
    return to
  })
  if (end !== -1 && takes.side === 'inputs') {
    for (const { name } of takes.tensors) if (!names.has(name) && !takes.optional.includes(name)) findings.add(pointer, `has no ${shown(name)}`)
  }
  return end
}

/** Values without a name are those of the only tensor. */
function only(json: Spans, span: readonly [from: number, to: number], pointer: string, { takes, findings }: Reading): void {
  const [info] = takes.tensors
  if (info === undefined || takes.tensors.length > 1) findings.add(pointer, `must name the ${takes.tensors.length} ${nounOf(takes)}s of the model`)
  else values(json, span, pointer, info, findings)
}

function values(json: Spans, [from, to]: readonly [from: number, to: number], pointer: string, { datatype, shape }: TensorInfo, findings: Findings): void {
  const found = shapeOf(json, from, to)
  if (found === undefined) findings.add(pointer, 'must be values of one kind, in lists of one length')
  else if (!holds(datatype, found.kind)) findings.add(pointer, `must be ${kindOf(datatype)}`)
  else if (!fits(found.shape, shape)) findings.add(pointer, `must have the shape ${lengths(shape)}`)
}

/** Also where they differ by a dimension of one, which is put right in the translation. */
function fits(found: readonly number[], wanted: readonly number[]): boolean {
  const same = (shape: readonly number[]) => shape.length === wanted.length && shape.every((length, at) => (wanted[at] ?? -1) < 0 || wanted[at] === length)
  return same(found) || same([...found, 1]) || (found[0] === 1 && same(found.slice(1)))
}
