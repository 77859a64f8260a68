import { isUtf8 } from 'node:buffer'
import { shapeOf } from '../../tensors/shapes.ts'
import { Spans } from '../../tensors/spans.ts'
import { elementsOf, rankMax } from '../../tensors/tensor.ts'
import type { Verdict } from '../verdict.ts'
import { bytesOf, compare, Findings, holds, kindOf, missing, type Takes } from './takes.ts'

type Draft = { name: string | undefined; datatype: string | undefined; shape: readonly number[] | undefined; data: readonly [from: number, to: number] | undefined; size: number | undefined; elsewhere: boolean }

/**
 * A request or an answer of V2 over REST beside what the model says. Its data are counted and not converted.
 * @param rest bytes after the JSON; undefined: nothing says that there are any
 */
export function v2Misfits(bytes: Buffer, rest: number | undefined, takes: Takes): Verdict {
  const json = new Spans(bytes)
  const findings = new Findings()
  const names = new Set<string>()
  let after = 0
  let found = false
  const tensor = (from: number, pointer: string): number => {
    const { draft, end } = readDraft(json, from)
    if (end === -1) return -1
    if (draft.name !== undefined && names.has(draft.name)) findings.add(`${pointer}/name`, 'is there twice')
    names.add(draft.name ?? '')
    after += draft.size ?? 0
    const info = compare(draft, pointer, takes, findings)
    // What the tensor says of itself must hold for its data; where that is not what the model wants, it was told already.
    if (info !== undefined && draft.datatype === info.datatype) dataMisfits(json, draft, pointer, takes, findings)
    return end
  }
  const list = (from: number, pointer: string, each: (from: number, pointer: string) => number): number => {
    if (bytes[from] !== 0x5b) {
      findings.add(pointer, 'must be a list')
      return json.skip(from)
    }
    let at = 0
    return json.elements(from, (start) => {
      const place = `${pointer}/${at++}`
      if (bytes[start] === 0x7b) return each(start, place)
      findings.add(place, 'must be an object')
      return json.skip(start)
    })
  }
  const end = json.members(json.space(0), (name, from) => {
    if (name === takes.side) {
      found = true
      return list(from, `/${name}`, tensor)
    }
    if (name !== 'outputs' || bytes[from] === 0x6e) return json.skip(from)
    return list(from, '/outputs', (start, pointer) => {
      const { draft, end } = readDraft(json, start)
      if (draft.name === undefined || !takes.outputs.includes(draft.name)) findings.add(`${pointer}/name`, draft.name === undefined ? 'is missing' : 'is no output of the model')
      return end
    })
  })
  if (end === -1 || json.space(end) !== bytes.length || !isUtf8(bytes)) return 'unreadable'
  if (!found) findings.add(`/${takes.side}`, 'is missing')
  else missing(names, `/${takes.side}`, takes, findings)
  if (after !== (rest ?? 0)) findings.add('', `says that ${after} bytes come after its JSON, and there are ${rest ?? 'none'}`)
  return findings.misfits.length === 0 ? 'fits' : findings.misfits
}

function readDraft(json: Spans, from: number): { draft: Draft; end: number } {
  const draft: Draft = { name: undefined, datatype: undefined, shape: undefined, data: undefined, size: undefined, elsewhere: false }
  const end = json.members(from, (name, at) => {
    if (name === 'parameters' && json.bytes[at] === 0x7b) {
      return json.members(at, (parameter, inside) => {
        const to = json.skip(inside)
        const value = to === -1 ? undefined : json.value(inside, to)
        if (parameter === 'binary_data_size' && typeof value === 'number') draft.size = value
        else if (parameter.startsWith('shared_memory_region')) draft.elsewhere = true
        return to
      })
    }
    const to = json.skip(at)
    if (name === 'data') draft.data = [at, to]
    else if (name === 'name' || name === 'datatype' || name === 'shape') {
      const value = to === -1 ? undefined : json.value(at, to)
      if (name === 'shape') draft.shape = isShape(value) ? value : undefined
      else if (typeof value === 'string') draft[name] = value
    }
    return to
  })
  return { draft, end }
}

const isShape = (value: unknown): value is readonly number[] => Array.isArray(value) && value.length <= rankMax && elementsOf(value as readonly number[]) !== undefined

function dataMisfits(json: Spans, { datatype = '', shape, data, size, elsewhere }: Draft, pointer: string, takes: Takes, findings: Findings): void {
  const count = shape && elementsOf(shape)
  if (size !== undefined) {
    const wanted = bytesOf(datatype, shape)
    if (wanted !== undefined && size !== wanted) findings.add(`${pointer}/parameters/binary_data_size`, `must be ${wanted}`)
  } else if (data !== undefined) {
    const found = shapeOf(json, ...data)
    if (found === undefined) findings.add(`${pointer}/data`, 'must be values of one kind, in lists of one length')
    else if (count !== undefined && elementsOf(found.shape) !== count) findings.add(`${pointer}/data`, `must have ${count} elements`)
    else if (!holds(datatype, found.kind)) findings.add(`${pointer}/data`, `must be ${kindOf(datatype)}`)
  } else if (!elsewhere && takes.side === 'inputs') findings.add(`${pointer}/data`, 'is missing')
}
