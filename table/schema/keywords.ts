/** What of JSON Schema (draft 2020-12) is checked here. Whatever is in none of these is refused by its name. */

/** What the value of a keyword is: a schema, a list of them, an object of them by names; `in place`: for the same value. */
export type Holds = Readonly<{ as: 'one' | 'list' | 'names'; inPlace?: true }>

export const applicators: ReadonlyMap<string, Holds> = new Map<string, Holds>([
  ['not', { as: 'one', inPlace: true }],
  ['if', { as: 'one', inPlace: true }],
  ['then', { as: 'one', inPlace: true }],
  ['else', { as: 'one', inPlace: true }],
  ['allOf', { as: 'list', inPlace: true }],
  ['anyOf', { as: 'list', inPlace: true }],
  ['oneOf', { as: 'list', inPlace: true }],
  ['dependentSchemas', { as: 'names', inPlace: true }],
  ['items', { as: 'one' }],
  ['contains', { as: 'one' }],
  ['prefixItems', { as: 'list' }],
  ['properties', { as: 'names' }],
  ['patternProperties', { as: 'names' }],
  ['additionalProperties', { as: 'one' }],
  ['propertyNames', { as: 'one' }],
  ['unevaluatedItems', { as: 'one' }],
  ['unevaluatedProperties', { as: 'one' }],
  ['$defs', { as: 'names' }],
  ['definitions', { as: 'names' }],
])

export const assertions: ReadonlySet<string> = new Set([
  'type', 'enum', 'const', 'multipleOf', 'maximum', 'exclusiveMaximum', 'minimum', 'exclusiveMinimum', 'maxLength', 'minLength', 'pattern',
  'maxItems', 'minItems', 'uniqueItems', 'maxContains', 'minContains', 'maxProperties', 'minProperties', 'required', 'dependentRequired',
  'format', '$ref', '$anchor',
])

/** They assert nothing. */
export const annotations: ReadonlySet<string> = new Set([
  'title', 'description', 'default', 'examples', 'deprecated', 'readOnly', 'writeOnly', '$comment', 'contentEncoding', 'contentMediaType',
])

/** What these look at is every member of an object. */
export const countsMembers = ['additionalProperties', 'patternProperties', 'propertyNames', 'maxProperties', 'minProperties', 'unevaluatedProperties'] as const

const digits = (count: number) => `[0-9]{${count}}`
const date = String.raw`${digits(4)}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])`
const time = String.raw`([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]{1,9})?([zZ]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`

/** Formats that are checked, each in time linear in the text. */
export const formats: ReadonlyMap<string, RegExp> = new Map([
  ['date', new RegExp(`^${date}$`)],
  ['time', new RegExp(`^${time}$`)],
  ['date-time', new RegExp(`^${date}[tT ]${time}$`)],
  ['uuid', /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i],
  ['ipv4', /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/],
])
