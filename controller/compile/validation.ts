import type { Validation } from '../../table/validation.ts'
import { faultsOf } from '../../table/schema/schema.ts'
import type { Path } from '../../table/schema/prepare.ts'
import type { Problem } from '../sources/snapshot.ts'
import { invalid, quote, unresolved } from './problems.ts'
import type { RuleSpec, ValidationSpec } from './spec.ts'
import type { BackendContext } from './targets.ts'

type Spec = NonNullable<ValidationSpec['request']>
type Asked = NonNullable<Validation['request']>
type Context = Pick<BackendContext, 'namespace' | 'world'>

/**
 * What bodies must be like. `missing`: a schema that is referred to is not there, and what it would refuse must not pass,
 * so that the rule does not hold.
 */
export function compileValidation({ validation: spec, backendRefs, compose }: RuleSpec, rule: string, context: Context, problems: Problem[]): Validation | 'missing' | undefined {
  if (spec === undefined) return undefined
  const place = `${rule}.validation`
  for (const side of ['request', 'response'] as const) {
    if (spec[side]?.source !== 'ModelMetadata') continue
    const silent = backendRefs?.find(({ protocol }) => protocol === 'OpenAI')
    if (silent) problems.push(invalid(`${place}.${side}.source`, `variant ${silent.variant} speaks OpenAI, which says nothing of what a model takes and gives; write a schema`))
    if (compose) problems.push(invalid(`${place}.${side}.source`, 'a composition is of several models, none of which takes the request as it comes; write a schema'))
  }
  const request = spec.request && compileSide(spec.request, `${place}.request`, context, problems)
  const response = spec.response && compileSide(spec.response, `${place}.response`, context, problems)
  if (request === 'missing' || response === 'missing') return 'missing'
  return {
    ...(request && { request }),
    ...(response && { response: { ...response, ...(spec.response?.onError === 'Reject' && { reject: true as const }) } }),
  }
}

function compileSide(spec: Spec, place: string, { namespace: from, world }: Context, problems: Problem[]): Asked | 'missing' {
  if (spec.source === 'ModelMetadata') return { source: 'ModelMetadata' }
  if (spec.source === 'Inline' || spec.configMapRef === undefined) {
    for (const { path, why } of faultsOf(spec.schema)) problems.push(invalid(`${place}.schema${fieldOf(path)}`, why))
    return { source: 'Schema', schema: spec.schema }
  }
  const { name, namespace = from, key = 'schema.json' } = spec.configMapRef
  const here = `${place}.configMapRef`
  const id = `${namespace}/${name}`
  const refuse = (why: string): 'missing' => {
    problems.push(unresolved(here, 'RefNotPermitted', why))
    return 'missing'
  }
  // Before looking whether it exists: a missing and a forbidden one read the same.
  if (namespace !== from && !world.permits(from, { group: '', kind: 'ConfigMap', namespace, name })) {
    return refuse(`no ReferenceGrant in namespace ${namespace} lets a ModelRoute of ${from} refer to ConfigMap ${id}`)
  }
  const text = world.configMapText(id, key)
  if (text === undefined) {
    return refuse(world.secretsReadable(namespace) ? `ConfigMap ${id} does not exist, or has no ${key}`
      : `the controller may not read ConfigMaps of namespace ${namespace}; add it to secretNamespaces`)
  }
  const schema = parsed(text)
  const faults = schema === undefined ? [{ path: [], why: 'is no JSON' }] : faultsOf(schema)
  for (const { path, why } of faults) problems.push(invalid(here, `${quote(key)} of ConfigMap ${id}${path.length > 0 ? `, at ${quote(fieldOf(path).replace(/^\./, ''))},` : ''} ${why}`))
  return { source: 'Schema', schema }
}

/**
 * The rule with its schemas in it: what is in force of it must not change, or be lost, with a ConfigMap that is edited or
 * deleted later.
 */
export function withSchemas(rule: RuleSpec, validation: Validation | undefined): RuleSpec {
  const { request, response } = rule.validation ?? {}
  const inline = <T extends Spec>(spec: T | undefined, compiled: Asked | undefined): T | undefined => {
    if (spec?.source !== 'ConfigMap' || compiled?.source !== 'Schema') return spec
    const { configMapRef: _, ...rest } = spec
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it was one that compiled, so that it is an object
    return { ...rest, source: 'Inline', schema: compiled.schema } as unknown as T
  }
  const [asked, answered] = [inline(request, validation?.request), inline(response, validation?.response)]
  if (asked === request && answered === response) return rule
  return { ...rule, validation: { ...(asked && { request: asked }), ...(answered && { response: answered }) } }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A place in a schema, as places in manifests are written. */
function fieldOf(path: Path): string {
  return path.map((part) => typeof part === 'number' ? `[${part}]` : /^[^.[\]"]+$/.test(part) ? `.${part}` : `[${JSON.stringify(part)}]`).join('')
}
