import type { Ajv2020, CodeKeywordDefinition, ErrorObject, KeywordCxt, ValidateFunction } from 'ajv/dist/2020.js'
import { re2 } from '../re2.ts'
import { ajv } from './ajv.ts'
import { allow, enter, Exhausted, spend, type Allowance } from './budget.ts'
import { canonical } from './canonical.ts'
import { formats } from './keywords.ts'
import { prepare, type Path, type Prepared, type SchemaFault } from './prepare.ts'

/**
 * JSON Schema (draft 2020-12) that a tenant wrote, checked against bodies that anybody wrote: whatever either of them
 * holds, a check takes no more work than it is given.
 */

/** Where a body does not fit, as a JSON Pointer, and how. Of the body it says the names of members and nothing else. */
export type Misfit = Readonly<{ pointer: string; why: string }>

/** `costly`: it takes more work than that. */
export type Outcome = 'fits' | 'costly' | readonly Misfit[]

export type Checker = Readonly<{
  /** How much there is of it: what compiling it takes. */
  parts: number
  check(value: unknown, allowance: Allowance): Outcome
}>

/** Faults that are told of one body, and how much work it is worth to find them all. */
const misfitsMax = 16
const stepsForAll = 20_000

/** What is wrong with a schema; nothing: it can be compiled. @param max as many as are told */
export function faultsOf(schema: unknown, max = 8): readonly SchemaFault[] {
  const prepared = prepare(schema)
  if (!('parts' in prepared)) return prepared.slice(0, max)
  const meta = (metaschema ??= new (ajv().Ajv2020)({ strict: false, validateFormats: false, logger: false }))
  if (typeof schema === 'object' && schema !== null && meta.validateSchema(schema) !== true) return byPlace(meta.errors ?? [], schema).slice(0, max)
  try {
    compiled(prepared, false)
    return []
  } catch (error) {
    return [{ path: [], why: error instanceof Error ? error.message.slice(0, 200) : 'cannot be compiled' }]
  }
}

let metaschema: Ajv2020 | undefined

function byPlace(errors: readonly ErrorObject[], schema: object): readonly SchemaFault[] {
  const found = new Map<string, SchemaFault>()
  for (const { instancePath, message = 'is wrong', params } of errors) {
    if (found.has(instancePath)) continue
    const allowed: unknown = Reflect.get(params, 'allowedValues')
    const why = Array.isArray(allowed) ? `${message}: ${allowed.join(', ')}` : message
    found.set(instancePath, { path: pathIn(schema, instancePath), why })
  }
  return [...found.values()]
}

function pathIn(schema: object, pointer: string): Path {
  let at: unknown = schema
  return pointer.split('/').slice(1).map((part) => {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    const list = Array.isArray(at)
    at = typeof at === 'object' && at !== null ? Reflect.get(at, name) : undefined
    return list ? Number(name) : name
  })
}

/** Compiles at the first check. @returns what is wrong, in words, where it cannot be compiled */
export function checkerOf(schema: unknown): Checker | string {
  const prepared = prepare(schema)
  if (!('parts' in prepared)) return prepared.map(({ path, why }) => `/${path.join('/')} ${why}`).join('; ')
  let first: ValidateFunction | undefined
  let every: ValidateFunction | undefined
  return {
    parts: prepared.parts,
    check(value, allowance) {
      first ??= compiled(prepared, false)
      const misfits = run(first, value, allowance)
      if (typeof misfits === 'string') return misfits
      // Most bodies fit, so that looking for more than one fault is left for those that do not.
      every ??= compiled(prepared, true)
      const all = run(every, value, { ...allowance, steps: Math.min(allowance.steps, stepsForAll) })
      return typeof all === 'string' ? misfits : all
    },
  }
}

function run(validate: ValidateFunction, value: unknown, allowance: Allowance): Outcome {
  allow(allowance)
  try {
    return validate(value) ? 'fits' : misfitsOf(validate.errors ?? [])
  } catch (error) {
    // A body may be nested as deep as the schema follows it.
    if (error instanceof Exhausted || error instanceof RangeError) return 'costly'
    throw error
  } finally {
    validate.errors = null
  }
}

function misfitsOf(errors: readonly ErrorObject[]): readonly Misfit[] {
  const found = new Map<string, Misfit>()
  for (const error of errors) {
    if (found.size >= misfitsMax) break
    const misfit = misfitOf(error)
    const key = `${misfit.pointer} ${misfit.why}`
    if (!found.has(key)) found.set(key, misfit)
  }
  return [...found.values()]
}

const escaped = (name: unknown) => String(name).replaceAll('~', '~0').replaceAll('/', '~1')

/** Of the parameters, the member that it is about. */
const members: ReadonlyMap<string, readonly [param: string, why: string]> = new Map([
  ['required', ['missingProperty', 'is missing']],
  ['dependentRequired', ['missingProperty', 'is missing']],
  ['additionalProperties', ['additionalProperty', 'is not known here']],
  ['unevaluatedProperties', ['unevaluatedProperty', 'is not known here']],
  ['propertyNames', ['propertyName', 'has a name that is not allowed']],
])

function misfitOf({ instancePath, keyword, params, message = 'is wrong', propertyName }: ErrorObject): Misfit {
  const [param, why] = members.get(keyword) ?? []
  if (param !== undefined && why !== undefined) return { pointer: `${instancePath}/${escaped(Reflect.get(params, param))}`, why }
  if (propertyName !== undefined) return { pointer: `${instancePath}/${escaped(propertyName)}`, why: 'has a name that is not allowed' }
  return { pointer: instancePath, why: keyword === 'false schema' ? 'is not allowed here' : message.slice(0, 200) }
}

function compiled({ schema }: Prepared, allErrors: boolean): ValidateFunction {
  const compiler = new (ajv().Ajv2020)({
    allErrors,
    // Words that it does not know are refused where a schema is taken apart, with their places.
    strict: false, strictNumbers: true,
    // What objects inherit is no member of a body.
    ownProperties: true,
    // One function for each part: a schema that refers to itself many times would become large otherwise.
    inlineRefs: false,
    meta: false, validateSchema: false, logger: false,
    formats: Object.fromEntries(formats),
    code: { optimize: false, regExp },
  })
  for (const keyword of ['x-enum', 'x-const']) {
    const message = keyword === 'x-enum' ? 'must be equal to one of the allowed values' : 'must be equal to the constant'
    compiler.addKeyword({ keyword, schemaType: 'array', error: { message }, compile: oneOf })
  }
  compiler.addKeyword({
    keyword: 'x-unique', type: 'array', schemaType: 'boolean', error: { message: 'must not have two items that are equal' },
    compile: (wanted: boolean) => (items: readonly unknown[]) => !wanted || allDifferent(items),
  })
  compiler.addKeyword(cost)
  allow({ steps: 1_000_000 })
  return compiler.compile(schema)
}

function oneOf(values: readonly unknown[]): (value: unknown) => boolean {
  const known = new Set(values.map(canonical))
  return (value) => known.has(canonical(value))
}

function allDifferent(items: readonly unknown[]): boolean {
  const seen = new Set<string>()
  for (const item of items) {
    seen.add(canonical(item))
    spend(1)
  }
  return seen.size === items.length
}

/** Stands first in every part of a schema. */
const cost: CodeKeywordDefinition = {
  keyword: 'x-cost',
  before: '$ref',
  schemaType: 'array',
  code({ gen, schema, data }: KeywordCxt) {
    const [steps, members]: readonly unknown[] = schema
    const { _ } = ajv()
    gen.code(_`${gen.scopeValue('func', { ref: enter })}(${Number(steps)}, ${Number(members)}, ${data})`)
  },
}

/** JavaScript's own can take forever. ajv tells them apart by their text. */
const regExp = Object.assign((source: string) => {
  // What is refused where the schema is taken apart never comes here.
  const RE2JS = re2()
  const expression = RE2JS.compile(RE2JS.translateRegExp(source))
  const weight = expression.programSize() >> 4
  return {
    test(text: string) {
      spend(1 + (text.length >> 4) * (1 + weight))
      return expression.test(text)
    },
    toString: () => source,
  }
}, { code: 're2' })
