import { Ajv } from 'ajv'
import type { ErrorObject, ValidateFunction } from 'ajv'
import { sizePattern } from '../schema/scalar.ts'
import { MAX_FAULTS, below, isObject, kindOf, nearest, quote } from './fault.ts'
import type { Node } from '../schema/node.ts'
import type { Fault } from './fault.ts'

type Json = Readonly<Record<string, unknown>>
type Definitions = Record<string, Json>

/** Each named object is compiled once, however often it occurs. */
function jsonSchema(node: Node, defs: Definitions, open = false): Json {
  switch (node.kind) {
    case 'string':
      if (node.values !== undefined) return { type: 'string', enum: node.values }
      return {
        type: 'string',
        maxLength: node.max,
        ...(node.min === undefined ? {} : { minLength: node.min }),
        ...(node.pattern === undefined ? {} : { pattern: node.pattern }),
        ...(node.expects === undefined ? {} : { expects: node.expects }),
        ...(node.format === undefined ? {} : { format: node.format }),
      }
    case 'integer':
      return { type: 'integer', minimum: node.min, maximum: node.max }
    case 'boolean':
      return { type: 'boolean' }
    case 'size':
      return {
        anyOf: [
          { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
          { type: 'string', maxLength: 16, pattern: sizePattern },
        ],
        expects: 'a number of bytes above 0, such as 1048576, 512Ki or 32Mi',
      }
    case 'free':
      return { type: 'object' }
    case 'strings':
      return {
        type: 'object',
        maxProperties: node.max,
        additionalProperties: { type: 'string', maxLength: node.maxValue },
      }
    case 'list':
      return {
        type: 'array',
        maxItems: node.max,
        ...(node.min === undefined ? {} : { minItems: node.min }),
        // Not the items of a list that is too long: each of a hundred thousand would be a fault.
        if: { minItems: node.max + 1 },
        else: { items: jsonSchema(node.items, defs) },
      }
  }
  if (defs[node.name] === undefined) {
    const properties: Record<string, Json> = {}
    defs[node.name] = {
      type: 'object',
      ...(open ? {} : { additionalProperties: false }),
      ...(node.minFields === undefined ? {} : { minProperties: node.minFields }),
      required: Object.keys(node.fields).filter((name) => node.fields[name]?.required),
      properties,
    }
    for (const [name, field] of Object.entries(node.fields)) properties[name] = jsonSchema(field, defs)
  }
  return { $ref: `#/$defs/${node.name}` }
}

/** Types, bounds, patterns, words and unknown fields. */
export function compileStructure(spec: Node, status: Node, metadata: Node, head: Json): (value: unknown) => Fault[] {
  const defs: Definitions = {}
  const schema = {
    type: 'object',
    additionalProperties: false,
    required: ['apiVersion', 'kind', 'metadata', 'spec'],
    properties: {
      ...head,
      // Other fields of metadata are Kubernetes' own.
      metadata: jsonSchema(metadata, defs, true),
      spec: jsonSchema(spec, defs),
      status: jsonSchema(status, defs),
    },
    $defs: defs,
  }
  const ajv = new Ajv({
    strict: true,
    allErrors: true,
    // A field is the object's own or it is not there.
    ownProperties: true,
    verbose: true,
    inlineRefs: false,
    keywords: ['expects'],
  })
  ajv.addFormat('date-time', (text) => RFC3339.test(text) && !Number.isNaN(Date.parse(text)))
  const validate: ValidateFunction = ajv.compile(schema)
  return (value) => {
    if (validate(value)) return []
    const errors = (validate.errors ?? []).filter(said)
    return errors.slice(0, MAX_FAULTS).map((error) => fault(value, error))
  }
}

/** Not the parts of an `anyOf`, nor the frame of an `if`: they say again what is said already. */
function said({ keyword, schemaPath }: ErrorObject): boolean {
  return keyword !== 'if' && !/\/anyOf\/\d/.test(schemaPath)
}

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/

function fault(root: unknown, error: ErrorObject): Fault {
  const field = fieldOf(root, error.instancePath)
  const { data } = error
  const params: Json = error.params
  const schema: unknown = error.parentSchema
  const limit = String(params['limit'])
  const say = (message: string): Fault => ({ field, message })
  switch (error.keyword) {
    case 'additionalProperties':
      return unknownField(field, String(params['additionalProperty']), schema)
    case 'required':
      return { field: below(field, String(params['missingProperty'])), message: 'is required' }
    case 'type':
      return say(wrongType(String(params['type']), data, schema))
    case 'enum':
      return say(wrongWord(data, params['allowedValues']))
    case 'const':
      return say(`must be ${quote(params['allowedValue'])}, not ${quote(data)}`)
    case 'minimum':
      return say(`must be at least ${limit}, not ${quote(data)}`)
    case 'maximum':
      return say(`must be at most ${limit}, not ${quote(data)}`)
    case 'minLength':
      return say(limit === '1' ? 'must not be empty' : `must have at least ${limit} characters`)
    case 'maxLength':
      return say(`must have at most ${limit} characters, has ${length(data)}`)
    case 'minItems':
    case 'minProperties':
      return say(limit === '1' ? 'must not be empty' : `must have at least ${limit} entries`)
    case 'maxItems':
      return say(`must have at most ${limit} items, has ${length(data)}`)
    case 'maxProperties':
      return say(`must have at most ${limit} entries, has ${length(data)}`)
    case 'format':
      return say(`must be a time such as 2026-01-31T12:00:00Z, not ${quote(data)}`)
    default: {
      const expects = isObject(schema) && typeof schema['expects'] === 'string' ? schema['expects'] : undefined
      return say(expects === undefined ? `is not valid: ${quote(data)}` : `must be ${expects}, not ${quote(data)}`)
    }
  }
}

/** In code points, as the schema counts. */
function length(value: unknown): number {
  if (typeof value === 'string') return Array.from(value).length
  return isObject(value) ? Object.keys(value).length : 0
}

function unknownField(parent: string, name: string, schema: unknown): Fault {
  const properties = isObject(schema) ? schema['properties'] : undefined
  const known = isObject(properties) ? Object.keys(properties) : []
  const meant = nearest(name, known)
  const hint = meant === undefined ? `; known here: ${known.join(', ')}` : `; did you mean ${meant}?`
  return { field: below(parent, name), message: `unknown field${hint}` }
}

const typeWords: Readonly<Record<string, string>> = {
  string: 'a string', integer: 'an integer', boolean: 'true or false', object: 'an object', array: 'a list',
}

function wrongType(expected: string, got: unknown, schema: unknown): string {
  const message = `must be ${typeWords[expected] ?? expected}, not ${kindOf(got)}`
  if (got === null) return `${message}: give it a value or leave it out`
  const scalar = typeof got === 'number' || typeof got === 'boolean'
  if (expected === 'string' && scalar) {
    const { pattern, expects } = isObject(schema) ? schema : {}
    // Quotes alone would be the next mistake.
    if (typeof pattern === 'string' && typeof expects === 'string' && !new RegExp(pattern, 'u').test(String(got))) return `must be ${expects}, not ${quote(got)}`
    // What was written may be another of YAML's words.
    return typeof got === 'boolean' ? `${message}: put it in quotes, as yes, no, on, off, y and n have to be in YAML` : `${message}: write "${got}"`
  }
  if (expected === 'integer' && typeof got === 'string' && /^-?\d{1,15}$/.test(got)) return `${message}: write ${got}`
  if (expected === 'integer' && typeof got === 'number') return `${message}: ${got}`
  return message
}

function wrongWord(got: unknown, words: unknown): string {
  const allowed = Array.isArray(words) ? words.map(String) : []
  const message = `must be ${allowed.length === 1 ? '' : 'one of '}${allowed.map((word) => word || '""').join(', ')}`
  const meant = typeof got === 'string' ? nearest(got, allowed) : undefined
  return `${message}, not ${quote(got)}${meant === undefined ? '' : `; did you mean ${meant}?`}`
}

/** `/spec/rules/0/name` as `spec.rules[0].name`. The data tells a list's index from a key that is a number. */
function fieldOf(root: unknown, path: string): string {
  let field = ''
  let value = root
  for (const part of path.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    field = Array.isArray(value) ? `${field}[${name}]` : below(field, name)
    value = isObject(value) ? value[name] : undefined
  }
  return field
}
