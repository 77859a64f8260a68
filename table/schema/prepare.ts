import { re2 } from '../re2.ts'
import { annotations, applicators, assertions, countsMembers, formats } from './keywords.ts'

/** What is wrong with a schema, and where in it. */
export type SchemaFault = Readonly<{ path: Path; why: string }>

export type Path = readonly (string | number)[]

/** A schema as it is checked: without annotations, every part of it with what it costs. */
export type Prepared = Readonly<{ schema: Record<string, unknown>; parts: number }>

/** Of the schema without annotations. Characters. */
const textMax = 65_536
const partsMax = 1000
/** Names on the way to a part. */
const depthMax = 64
/** Steps of all regular expressions of a schema, and of one. */
const programsMax = 5000
const programMax = 500

/** Takes a schema apart before anything of it is compiled. */
export function prepare(schema: unknown): Prepared | readonly SchemaFault[] {
  const looking: Looking = { faults: [], parts: new Map(), refs: [], anchors: new Map(), program: 0 }
  const root = part(schema, [], looking)
  if (looking.faults.length === 0) followRefs(looking)
  if (looking.faults.length === 0) looking.faults.push(...endless(looking))
  if (looking.faults.length > 0 || typeof root !== 'object') {
    return looking.faults.length > 0 ? looking.faults : [{ path: [], why: 'is no object, so that it says nothing of a body' }]
  }
  const size = JSON.stringify(root).length
  return size > textMax ? [{ path: [], why: `has ${size} characters; ${textMax} are allowed` }] : { schema: root, parts: looking.parts.size }
}

/** `next`: the parts that look at the same value. */
type Part = { readonly path: Path; readonly next: string[] }
type Looking = {
  readonly faults: SchemaFault[]
  /** By their JSON Pointers. */
  readonly parts: Map<string, Part>
  readonly refs: Readonly<{ from: string; path: Path; to: string }>[]
  readonly anchors: Map<string, string>
  /** Steps of regular expressions so far. */
  program: number
}

const pointerOf = (path: Path) => path.map((name) => `/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)

function part(schema: unknown, path: Path, looking: Looking): Record<string, unknown> | boolean {
  const refuse = (why: string, ...more: Path) => { looking.faults.push({ path: [...path, ...more], why }) }
  if (typeof schema === 'boolean') return schema
  if (!isObject(schema)) {
    refuse('is no schema: an object, true or false')
    return true
  }
  const own: Part = { path, next: [] }
  if (looking.parts.size >= partsMax || path.length > depthMax) {
    // Once is enough.
    if (looking.faults.length === 0) refuse(path.length > depthMax ? 'is nested too deep' : `is one schema too many: one may have ${partsMax} in it`)
    return true
  }
  looking.parts.set(pointerOf(path), own)
  if (typeof schema['$anchor'] === 'string') looking.anchors.set(schema['$anchor'], pointerOf(path))
  const made: Record<string, unknown> = {}
  for (const [keyword, value] of Object.entries(schema)) {
    const holds = applicators.get(keyword)
    if (holds !== undefined) {
      const inner = innerParts(value, holds.as, [...path, keyword], looking)
      if (inner === undefined) continue
      made[keyword] = inner.made
      if (holds.inPlace === true) own.next.push(...inner.pointers)
    } else if (assertions.has(keyword)) made[keyword] = value
    else if (!annotations.has(keyword) && !isHeading(keyword, value, path)) refuse(unknown(keyword), keyword)
  }
  assertion(made, path, looking)
  made['x-cost'] = costOf(made)
  return made
}

/** The schema's own name, and the draft that it is written in. */
function isHeading(keyword: string, value: unknown, path: Path): boolean {
  if (path.length > 0) return false
  return keyword === '$id' || (keyword === '$schema' && typeof value === 'string' && /^https:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/.test(value))
}

function unknown(keyword: string): string {
  if (keyword === '$schema') return 'is not https://json-schema.org/draft/2020-12/schema, the draft that is understood here'
  if (keyword === '$id') return 'gives a part a name of its own; a schema has one, and parts are reached by # and a pointer'
  return 'is no keyword that is checked here'
}

function innerParts(value: unknown, as: 'one' | 'list' | 'names', path: Path, looking: Looking): Readonly<{ made: unknown; pointers: readonly string[] }> | undefined {
  if (as === 'one') return { made: part(value, path, looking), pointers: [pointerOf(path)] }
  if (as === 'list' && Array.isArray(value)) {
    return { made: value.map((one, at) => part(one, [...path, at], looking)), pointers: value.map((_, at) => pointerOf([...path, at])) }
  }
  if (as === 'names' && isObject(value)) {
    const made: Record<string, unknown> = {}
    for (const [name, one] of Object.entries(value)) {
      // What checks a member by that name would look at what objects inherit.
      if (name === '__proto__') looking.faults.push({ path: [...path, name], why: 'is a name that cannot be checked' })
      else made[name] = part(one, [...path, name], looking)
      if (path.at(-1) === 'patternProperties') pattern(name, [...path, name], looking)
    }
    return { made, pointers: Object.keys(made).map((name) => pointerOf([...path, name])) }
  }
  looking.faults.push({ path, why: as === 'list' ? 'is no list of schemas' : 'is no object of schemas' })
  return undefined
}

/** Puts what this checks in another way in the place of what it is written as. */
function assertion(made: Record<string, unknown>, path: Path, looking: Looking): void {
  const refuse = (keyword: string, why: string) => { looking.faults.push({ path: [...path, keyword], why }) }
  const { pattern: source, format, $ref } = made
  if (typeof source === 'string') pattern(source, [...path, 'pattern'], looking)
  if (typeof format === 'string' && !formats.has(format)) refuse('format', `is none of those that are checked: ${[...formats.keys()].join(', ')}; a pattern may say it`)
  if (Array.isArray(made['enum'])) move(made, 'enum', 'x-enum')
  if ('const' in made) {
    made['x-const'] = [made['const']]
    delete made['const']
  }
  if (typeof made['uniqueItems'] === 'boolean') move(made, 'uniqueItems', 'x-unique')
  if ($ref === undefined) return
  if (typeof $ref === 'string' && $ref.startsWith('#')) looking.refs.push({ from: pointerOf(path), path: [...path, '$ref'], to: $ref })
  else refuse('$ref', 'does not begin with #: only parts of the schema itself are referred to')
}

function move(made: Record<string, unknown>, from: string, to: string): void {
  made[to] = made[from]
  delete made[from]
}

function pattern(source: string, path: Path, looking: Looking): void {
  const refuse = (why: string) => { looking.faults.push({ path, why }) }
  try {
    const RE2JS = re2()
    const steps = RE2JS.compile(RE2JS.translateRegExp(source)).programSize()
    looking.program += steps
    if (steps > programMax) refuse(`is a regular expression of ${steps} steps; ${programMax} are allowed: lower its repeats`)
    else if (looking.program > programsMax) refuse(`is one regular expression too many: a schema may have ${programsMax} steps of them`)
  } catch (cause) {
    const why = (cause instanceof Error ? cause.message : String(cause)).slice(0, 200)
    refuse(`is no regular expression in RE2 syntax (which has no look-around and no back-references): ${why}`)
  }
}

function costOf(made: Readonly<Record<string, unknown>>): readonly [steps: number, members: number] {
  const size = (value: unknown) => (Array.isArray(value) ? value.length : isObject(value) ? Object.keys(value).length : 0)
  const steps = 1 + Math.ceil((size(made['required']) + size(made['properties']) + size(made['dependentRequired']) + size(made['dependentSchemas'])) / 8)
  return [steps, countsMembers.some((keyword) => made[keyword] !== undefined) ? 1 + size(made['patternProperties']) : 0]
}

function followRefs({ refs, parts, anchors, faults }: Looking): void {
  for (const { from, path, to } of refs) {
    let target: string | undefined
    try {
      target = decodeURIComponent(to.slice(1))
    } catch {}
    if (target !== undefined && !target.startsWith('/') && target !== '') target = anchors.get(target)
    const found = target === undefined ? undefined : parts.get(target)
    if (found === undefined || target === undefined) faults.push({ path, why: `leads to no schema: ${to.slice(0, 80)}` })
    else parts.get(from)?.next.push(target)
  }
}

/** Schemas that come to themselves again while they look at the same value: they would never be done. */
function endless({ parts }: Looking): readonly SchemaFault[] {
  const done = new Set<string>()
  const trail = new Set<string>()
  const visit = (pointer: string): Path | undefined => {
    const here = parts.get(pointer)
    if (here === undefined || done.has(pointer)) return undefined
    if (trail.has(pointer)) return here.path
    trail.add(pointer)
    for (const next of here.next) {
      const found = visit(next)
      if (found !== undefined) return found
    }
    trail.delete(pointer)
    done.add(pointer)
    return undefined
  }
  for (const pointer of parts.keys()) {
    const path = visit(pointer)
    if (path !== undefined) return [{ path, why: 'refers to itself for the same value, and would never be done' }]
  }
  return []
}
