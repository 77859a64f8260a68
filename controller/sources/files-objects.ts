import { createHash } from 'node:crypto'
import * as v from 'valibot'
import { type Fault, validateModelRoute, validateRateLimitPolicy } from '../../crds/validate.ts'
import {
  apiVersions,
  ConfigMap,
  EndpointSlice,
  GROUP,
  InferenceService,
  isKind,
  type Kind,
  Named,
  ReferenceGrant,
  Secret,
  Service,
  type Shapes,
} from './files-kinds.ts'
import { formatField, type Path } from './files-place.ts'
import type { Json } from './files-yaml.ts'
import { nearest } from './nearest.ts'
import { examine } from './rules.ts'
import type { BrokenRule, Problem, Resource } from './snapshot.ts'

type JsonObject = { [key: string]: Json }

/** One object of a document. `path`: where in it, for the items of a List. */
export type ItemOf<K extends Kind> = Readonly<{
  kind: K
  namespace: string
  name: string
  path: Path
  generation: number
  /** What its source reports of it: nothing, or why there is no `object` of a foreign kind. */
  problems: readonly Problem[]
  /** Absent where it does not satisfy its schema; of a route, without the rules in `broken`. */
  object?: Shapes[K]
  broken?: readonly BrokenRule[]
  asks?: Resource<unknown>['asks']
}>

export type Item = { [K in Kind]: ItemOf<K> }[Kind]

/** Something that is no object of ours, or that cannot be named. Without `path`: the whole document. */
type ObjectFault = Readonly<{
  path: Path
  kind: string
  namespace: string
  name: string
  problem: Problem
  /** It may have been an object that was in force before. */
  lost: boolean
}>

export type Objects = { items: Item[]; faults: ObjectFault[] }

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const text = (value: Json | undefined) => (typeof value === 'string' ? value : '')

/** Values that a schema leaves to their user, null included. */
const FREE = new Set(['schema', 'config'])

/** As an API server does before it validates: a field that is null is a field that is absent. */
function withoutNulls(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (!isObject(value)) return value
  const entries = Object.entries(value).filter(([, field]) => field !== null)
  return Object.fromEntries(entries.map(([key, field]) => [key, FREE.has(key) ? field : withoutNulls(field)]))
}

/** The order of keys says nothing, so it must not change the hash. */
function canonical(value: Json | undefined): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (!isObject(value)) return JSON.stringify(value ?? null)
  const keys = Object.keys(value).toSorted()
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join()}}`
}

/** Files count no generations: the same spec, the same positive number of 48 bits. */
const generationOf = (spec: Json | undefined) =>
  Number.parseInt(createHash('sha256').update(canonical(spec)).digest('hex').slice(0, 12), 16) + 1

export function uidOf(kind: string, namespace: string, name: string): string {
  const hex = createHash('sha256').update(`${kind}/${namespace}/${name}`).digest('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-')
}

const MAX_ISSUES = 20

const invalid = (field: string, message: string): Problem => ({ field, reason: 'Invalid', message, severity: 'error' })

const pathOf = (issue: v.BaseIssue<unknown>): Path =>
  (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)))

function issueOf(issue: v.BaseIssue<unknown>, under: Path): Problem {
  const field = formatField([...under, ...pathOf(issue)])
  const missing = issue.received === 'undefined'
  return invalid(field, missing ? 'is required' : issue.message)
}

type Base = Omit<ItemOf<Kind>, 'kind' | 'object' | 'problems'>

type Reader<K extends Kind> = (base: Base, value: JsonObject, metadata: JsonObject) => ItemOf<K>

function ours<K extends 'ModelRoute' | 'RateLimitPolicy'>(
  kind: K,
  validate: (value: unknown) => readonly Fault[],
): Reader<K> {
  return (base, value, metadata) => {
    // What a file says of the status says nothing: a server would drop it too.
    const { status: _, ...rest } = value
    const { value: sound, ...examined } = examine(rest, validate)
    if (sound === undefined) return { ...base, kind, ...examined }
    const uid = uidOf(kind, base.namespace, base.name)
    const object: unknown = { ...sound, metadata: { ...metadata, uid, generation: base.generation } }
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- validated above
    return { ...base, kind, ...examined, object: object as Shapes[K] }
  }
}

function foreign<K extends Kind>(kind: K, schema: v.GenericSchema<unknown, Shapes[K]>): Reader<K> {
  return (base, value, metadata) => {
    const parsed = v.safeParse(schema, { ...value, metadata })
    if (parsed.success) return { ...base, kind, problems: [], object: parsed.output }
    return { ...base, kind, problems: parsed.issues.slice(0, MAX_ISSUES).map((issue) => issueOf(issue, [])) }
  }
}

const readers: { [K in Kind]: Reader<K> } = {
  ModelRoute: ours('ModelRoute', validateModelRoute),
  RateLimitPolicy: ours('RateLimitPolicy', validateRateLimitPolicy),
  Service: foreign('Service', Service),
  EndpointSlice: foreign('EndpointSlice', EndpointSlice),
  InferenceService: foreign('InferenceService', InferenceService),
  ReferenceGrant: foreign('ReferenceGrant', ReferenceGrant),
  Secret: foreign('Secret', Secret),
  ConfigMap: foreign('ConfigMap', ConfigMap),
}

function itemOf(kind: Kind, given: JsonObject, path: Path): Item | ObjectFault {
  const value = withoutNulls(given)
  const metadata = isObject(value) && isObject(value['metadata']) ? value['metadata'] : {}
  const named = v.safeParse(Named, metadata)
  if (!named.success || !isObject(value)) {
    const problem = named.success ? invalid('', 'is no object') : issueOf(named.issues[0], ['metadata'])
    const place = { kind, namespace: text(metadata['namespace']), name: text(metadata['name']) }
    return { ...place, path, problem, lost: true }
  }
  const { name, namespace = 'default' } = named.output
  const base = { namespace, name, path, generation: generationOf(value['spec']) }
  return readers[kind](base, value, { ...metadata, name, namespace })
}

const ownKinds = [...apiVersions].flatMap(([kind, [version]]) => (version?.startsWith(`${GROUP}/`) ? [kind] : []))
const own = ownKinds.join(' and ')

/** What to say of a kind that is not read; undefined where it is simply not ours to read. */
function unknownKind(apiVersion: string, kind: string): Problem | undefined {
  const say = (message: string, severity: Problem['severity'] = 'error'): Problem => ({
    field: isKind(kind) ? 'apiVersion' : 'kind',
    reason: 'UnknownKind',
    message,
    severity,
  })
  const versions = apiVersions.get(kind)
  if (versions !== undefined) return say(`${kind} is read as ${versions.join(' or ')}, not as ${apiVersion}`)
  const like = nearest(kind, [...apiVersions.keys()])
  const hint = like === undefined ? '' : `; did you mean ${like}?`
  if (apiVersion.split('/')[0] === GROUP) return say(`${GROUP} has no kind ${kind}, only ${own}${hint}`)
  return like === undefined ? undefined : say(`${apiVersion} ${kind} is not read${hint}`, 'warning')
}

function read(value: Json, path: Path, into: Objects, inherited?: { apiVersion: string; kind: string }): void {
  const fault = (problem: Problem, kind = '', metadata?: Json) => {
    const { namespace, name } = isObject(metadata) ? metadata : {}
    into.faults.push({
      path,
      kind,
      namespace: text(namespace),
      name: text(name),
      problem,
      lost: problem.severity === 'error',
    })
  }
  if (!isObject(value)) return fault(invalid('', 'a manifest is a mapping with apiVersion, kind and metadata'))
  const given = { apiVersion: value['apiVersion'] ?? inherited?.apiVersion, kind: value['kind'] ?? inherited?.kind }
  const { apiVersion, kind } = given
  if (typeof kind !== 'string' || kind === '') return fault(invalid('kind', 'is required, and text'))
  if (typeof apiVersion !== 'string' || apiVersion === '') {
    return fault(invalid('apiVersion', 'is required, and text'), kind, value['metadata'])
  }
  const items = value['items']
  if (kind.endsWith('List') && Array.isArray(items)) {
    const of = { apiVersion, kind: kind.slice(0, -'List'.length) }
    const below = of.kind === '' ? undefined : of
    for (const [index, item] of items.entries()) read(item, [...path, 'items', index], into, below)
    return
  }
  if (kind === 'List' && items === null) return
  if (!isKind(kind) || apiVersions.get(kind)?.includes(apiVersion) !== true) {
    const problem = unknownKind(apiVersion, kind)
    if (problem !== undefined) fault(problem, kind, value['metadata'])
    return
  }
  const item = itemOf(kind, { ...value, apiVersion, kind }, path)
  if ('problem' in item) into.faults.push(item)
  else into.items.push(item)
}

/** The objects of a document, Lists unfolded; kinds that are of no concern here are passed over. */
export function readObjects(value: Json): Objects {
  const objects: Objects = { items: [], faults: [] }
  read(value, [], objects)
  return objects
}
