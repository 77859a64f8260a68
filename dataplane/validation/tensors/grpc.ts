import { FieldReader } from '../../protocols/protobuf.ts'
import type { Sliced } from '../../sliced.ts'
import { elementsOf, rankMax } from '../../tensors/tensor.ts'
import type { Verdict } from '../verdict.ts'
import { bytesOf, compare, Findings, missing, type Takes } from './takes.ts'

/** Fields of ModelInferRequest and ModelInferResponse. */
const fields = { inputs: { tensors: 5, outputs: 6, raw: 7 }, outputs: { tensors: 5, outputs: 0, raw: 6 } } as const
/** InferTensorContents: which of its fields a datatype has. */
const contentsOf: Readonly<Record<string, number>> = {
  BOOL: 1, INT8: 2, INT16: 2, INT32: 2, INT64: 3, UINT8: 4, UINT16: 4, UINT32: 4, UINT64: 5, FP32: 6, FP64: 7, BYTES: 8,
}
/** Bytes that are looked at in one go. */
const stretch = 262_144

type Draft = { name: string | undefined; datatype: string | undefined; shape: readonly number[] | undefined; contents: Buffer | undefined; elsewhere: boolean }

/** A message beside what the model says. Its pointers are those of the same message in JSON. */
export function* grpcMisfits(message: Buffer, takes: Takes): Sliced<Verdict> {
  const { tensors: ofTensors, outputs: ofOutputs, raw: ofRaw } = fields[takes.side]
  const findings = new Findings()
  const drafts: Draft[] = []
  const raw: number[] = []
  const asked: string[] = []
  const reader = new FieldReader(message)
  while (reader.next()) {
    const { field, wire } = reader
    if (wire !== 2) continue
    if (field === ofTensors) {
      const draft = readDraft(reader.value)
      if (draft === undefined) return 'unreadable'
      drafts.push(draft)
    } else if (field === ofRaw) raw.push(reader.to - reader.from)
    else if (field === ofOutputs) asked.push(nameIn(reader.value))
    if ((drafts.length + raw.length + asked.length) % 256 === 255) yield
  }
  if (reader.broken) return 'unreadable'
  const names = new Set<string>()
  let next = 0
  for (const [at, draft] of drafts.entries()) {
    const pointer = `/${takes.side}/${at}`
    const { name = '', datatype, shape, contents, elsewhere } = draft
    if (names.has(name)) findings.add(`${pointer}/name`, 'is there twice')
    names.add(name)
    const info = compare(draft, pointer, takes, findings)
    const fits = info !== undefined && datatype === info.datatype
    if (elsewhere) continue
    if (raw.length > 0) {
      const place = `/raw_${takes.side.slice(0, -1)}_contents/${next}`
      const bytes = raw[next++]
      const wanted = bytesOf(datatype, shape)
      if (bytes === undefined) findings.add(pointer, 'has no raw contents')
      else if (fits && wanted !== undefined && bytes !== wanted) findings.add(place, `must have ${wanted} bytes`)
    } else if (fits && shape !== undefined) {
      const count = yield* elementsIn(contents, datatype ?? '')
      const wanted = elementsOf(shape)
      if (count === undefined) findings.add(`${pointer}/contents`, `must be those of ${datatype}`)
      else if (wanted !== undefined && count !== wanted) findings.add(`${pointer}/contents`, `must have ${wanted} elements`)
    }
  }
  if (raw.length > next) findings.add(`/raw_${takes.side.slice(0, -1)}_contents`, `has ${raw.length} items, and there are ${next} tensors for them`)
  missing(names, `/${takes.side}`, takes, findings)
  for (const [at, name] of asked.entries()) if (!takes.outputs.includes(name)) findings.add(`/outputs/${at}/name`, 'is no output of the model')
  return findings.misfits.length === 0 ? 'fits' : findings.misfits
}

function readDraft(message: Buffer): Draft | undefined {
  const draft: Draft = { name: undefined, datatype: undefined, shape: [], contents: undefined, elsewhere: false }
  const shape: number[] = []
  const reader = new FieldReader(message)
  while (reader.next()) {
    const { field, wire } = reader
    if (field === 3) {
      if (wire === 0) shape.push(Number(BigInt.asIntN(64, reader.bits)))
      else if (!readLengths(reader.value, shape)) return undefined
    } else if (wire !== 2) continue
    else if (field === 1) draft.name = reader.text
    else if (field === 2) draft.datatype = reader.text
    else if (field === 4) draft.elsewhere ||= nameIn(reader.value).startsWith('shared_memory_region')
    else if (field === 5) draft.contents = draft.contents === undefined ? reader.value : Buffer.concat([draft.contents, reader.value])
    if (shape.length > rankMax) return undefined
  }
  return reader.broken ? undefined : { ...draft, shape: elementsOf(shape) === undefined ? undefined : shape }
}

function readLengths(packed: Buffer, shape: number[]): boolean {
  let value = 0
  let unit = 1
  for (const byte of packed.subarray(0, rankMax * 10)) {
    value += (byte & 0x7f) * unit
    unit *= 128
    if (byte >= 0x80) continue
    shape.push(value)
    value = 0
    unit = 1
  }
  return unit === 1 && packed.length <= rankMax * 10
}

function nameIn(message: Buffer): string {
  const reader = new FieldReader(message)
  let name = ''
  while (reader.next()) if (reader.field === 1 && reader.wire === 2) name = reader.text
  return name
}

/** How many elements typed contents have; undefined: they are of another datatype. */
function* elementsIn(contents: Buffer | undefined, datatype: string): Sliced<number | undefined> {
  if (contents === undefined) return 0
  const wanted = contentsOf[datatype]
  const reader = new FieldReader(contents)
  let count = 0
  let steps = 0
  while (reader.next()) {
    const { field, wire, from, to } = reader
    if (field !== wanted) return undefined
    if (wire !== 2 || wanted === 8) count++
    else if (wanted === 6 || wanted === 7) count += (to - from) / (wanted === 6 ? 4 : 8)
    else {
      for (let at = from; at < to; at++) {
        if ((contents[at] ?? 0) < 0x80) count++
        if (at % stretch === stretch - 1) yield
      }
    }
    if (++steps % 4096 === 0) yield
  }
  return reader.broken || !Number.isInteger(count) ? undefined : count
}
