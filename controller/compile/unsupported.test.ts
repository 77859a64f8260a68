import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { unsupportedFields, unsupportedInRoute, unsupportedInRule } from './unsupported.ts'

type Schema = { properties?: Record<string, Schema>; items?: Schema; enum?: unknown[]; type?: string }

function schemaOf(plural: string): Schema {
  const path = join(import.meta.dirname, `../../crds/${plural}.modelroute.io.yaml`)
  const crd = parse(readFileSync(path, 'utf8')) as { spec: { versions: { schema: { openAPIV3Schema: Schema } }[] } }
  return crd.spec.versions[0]!.schema.openAPIV3Schema
}

function find(schema: Schema, path: string): Schema | undefined {
  return path.split('.').reduce<Schema | undefined>((node, segment) => {
    const inner = node?.properties?.[segment.replace('[]', '')]
    return segment.endsWith('[]') ? inner?.items : inner
  }, schema)
}

const kinds = { ModelRoute: schemaOf('modelroutes'), RateLimitPolicy: schemaOf('ratelimitpolicies') } as const

for (const kind of ['ModelRoute', 'RateLimitPolicy'] as const) {
  test(`every unsupported field of ${kind} exists in the schema, and so does every value that is admitted`, () => {
    for (const { path, admits } of unsupportedFields[kind]) {
      const schema = find(kinds[kind], path)
      assert.ok(schema, `${path} is not in the schema`)
      for (const value of admits ?? []) {
        if (schema.enum) assert.ok(schema.enum.includes(value), `${path} never is ${value}`)
      }
    }
  })

  test(`no unsupported field of ${kind} is listed twice`, () => {
    const paths = unsupportedFields[kind].map(({ path }) => path)
    assert.deepEqual([...new Set(paths)], paths)
  })
}

const secret = (field: string) => [`${field}.name`, `${field}.namespace`]
const claims = ['consumer', 'groups', 'tier', 'scopes'].map((field) => `claims.${field}`)

/** What a route may say today. Whatever the schema has besides is refused, so that nothing is ever ignored. */
const supported = [
  'gatewayNames',
  'hostnames',
  ...['name', 'namespace'].map((field) => `tls.certificateRefs[].${field}`),
  'rules[].name',
  ...['allowOrigins[]', 'allowMethods[]', 'allowHeaders[]', 'exposeHeaders[]', 'allowCredentials', 'maxAge'].map((field) => `cors.${field}`),
  ...['', 'rules[].'].flatMap((of) => [
    `${of}auth.anonymous`,
    ...['in', 'name', 'selector.matchLabels'].map((field) => `${of}auth.anyOf[].apiKey.${field}`),
    ...['issuer', 'audiences[]', 'algorithms[]', 'jwks.uri', ...secret('jwks.secretRef'), 'jwks.secretRef.key', 'leeway', ...claims]
      .map((field) => `${of}auth.anyOf[].jwt.${field}`),
    ...['endpoint', ...secret('clientSecretRef'), 'cache', ...claims].map((field) => `${of}auth.anyOf[].introspection.${field}`),
    ...['consumers[]', 'groups[]', 'tiers[]', 'scopes[]', 'models[]', 'methods[]', 'when'].map((field) => `${of}authorization.allow[].${field}`),
  ]),
  'rules[].matches[].countries[]',
  'rules[].matches[].when',
  ...['consumers[]', 'groups[]', 'tiers[]', 'claims[].name', 'claims[].value'].map((field) => `rules[].matches[].principal.${field}`),
  'rules[].matches[].path.type',
  'rules[].matches[].path.value',
  'rules[].matches[].method',
  ...['headers', 'queryParams'].flatMap((list) =>
    ['name', 'type', 'value'].map((field) => `rules[].matches[].${list}[].${field}`),
  ),
  ...['type', 'name', 'version'].map((field) => `rules[].matches[].model.${field}`),
  ...['pointer', 'type', 'value'].map((field) => `rules[].matches[].body[].${field}`),
  'rules[].matches[].sourceCIDRs[]',
  ...[
    'variant',
    'kind',
    'group',
    'name',
    'namespace',
    'port',
    'component',
    'url',
    'endpointMode',
    'weight',
    'priority',
    'protocol',
  ].map((field) => `rules[].backendRefs[].${field}`),
  ...['name', 'version'].map((field) => `rules[].backendRefs[].model.${field}`),
  ...['serverName', 'caRef.name', 'caRef.namespace', 'caRef.key', 'clientCertificateRef.name', 'clientCertificateRef.namespace'].map(
    (field) => `rules[].backendRefs[].tls.${field}`,
  ),
  ...[
    'header', 'scheme', 'secretRef.name', 'secretRef.namespace', 'secretRef.key',
    'oauth2.tokenUrl', 'oauth2.clientSecretRef.name', 'oauth2.clientSecretRef.namespace', 'oauth2.scopes[]',
  ].map((field) => `rules[].backendRefs[].credentials.${field}`),
  'rules[].split.by',
  'rules[].split.name',
  ...['variant', 'percent', 'compare.absolute', 'compare.relative', 'compare.ignore[]'].map((field) => `rules[].mirror.${field}`),
  ...['header', 'value', 'variant'].map((field) => `rules[].overrides[].${field}`),
  ...['name', 'config'].map((field) => `rules[].plugins[].${field}`),
  ...['request', 'backendRequest', 'connect', 'firstByte', 'streamIdle', 'deadlineHeader'].map((field) => `rules[].timeouts.${field}`),
  ...['attempts', 'reasons[]', 'codes[]', 'idempotent', 'budgetPercent', 'backoff'].map((field) => `rules[].retry.${field}`),
  ...['after', 'budgetPercent'].map((field) => `rules[].hedge.${field}`),
  ...['status', 'contentType', 'body'].map((field) => `rules[].fallbackResponse.${field}`),
  'rules[].rollout.candidate',
  'rules[].rollout.paused',
  ...['percent', 'hold', 'approval'].map((field) => `rules[].rollout.steps[].${field}`),
  ...['interval', 'minRequests', 'failureLimit', 'onNoData'].map((field) => `rules[].rollout.analysis.${field}`),
  ...['name', 'type', 'percentile', 'pointer', 'max', 'min', 'maxRatioToStable', 'minRatioToStable', 'prometheus.address', 'prometheus.query', 'webhook.url'].map((field) => `rules[].rollout.analysis.metrics[].${field}`),
  ...['policy', 'hashOn', 'name', 'slowStart', 'zoneAware'].map((field) => `rules[].loadBalancing.${field}`),
  ...['type', 'path', 'interval', 'timeout', 'healthy', 'unhealthy'].map((field) => `rules[].health.active.${field}`),
  ...['consecutiveErrors', 'window', 'ejectFor', 'maxEjectedPercent'].map((field) => `rules[].health.passive.${field}`),
  ...['maxRequests', 'maxPending', 'errorPercent', 'slowPercent', 'slowAfter', 'minRequests', 'openFor'].map((field) => `rules[].circuitBreaker.${field}`),
  'rules[].wakeUp.hold',
  'rules[].logging.audit',
  ...['ttl', 'scope', 'maxBytes', 'maxEntryBytes', 'vary.headers[]', 'vary.pointers[]', 'nondeterministic', 'billing'].map(
    (field) => `rules[].cache.${field}`,
  ),
  ...['request', 'response'].flatMap((side) => ['headers.set[].name', 'headers.set[].value', 'headers.add[].name', 'headers.add[].value', 'headers.remove[]',
    'body.set[].pointer', 'body.set[].value', 'body.remove[]'].map((field) => `rules[].transform.${side}.${field}`)),
  ...['pointer', 'confidence.pointer', 'confidence.low'].map((field) => `rules[].transform.response.enrich.${field}`),
  'rules[].sizeLimits.request',
  'rules[].sizeLimits.response',
].map((path) => `spec.${path}`)

test('every field of the schema is either compiled or refused, none is ignored', () => {
  const whole = new Set(unsupportedFields.ModelRoute.filter(({ admits }) => !admits).map(({ path }) => path))
  const leaves = (schema: Schema, path: string): string[] => {
    if (whole.has(path)) return []
    if (schema.items) return leaves(schema.items, `${path}[]`)
    const inner = Object.entries(schema.properties ?? {})
    return inner.length > 0
      ? inner.flatMap(([name, node]) => leaves(node, `${path}.${name}`))
      : [path.replace(/(?<=Names|hostnames)\[\]$/, '')]
  }
  const compiled = leaves(find(kinds.ModelRoute, 'spec')!, 'spec')
  assert.deepEqual(compiled.sort(), supported.sort())
})

test('a refused field is named by its exact place, also in lists', () => {
  const rule = { name: 'a', backendRefs: [{ variant: 'a' }, { variant: 'b', protocol: 'GRPC' }] }
  const problems = unsupportedInRule(rule, 'spec.rules[3]')
  assert.deepEqual(
    problems.map(({ field }) => field),
    ['spec.rules[3].backendRefs[1].protocol'],
  )
})

test('an inherited name is no field', () => {
  const hostile: unknown = JSON.parse('{"__proto__": {"auth": {}}, "rules": []}')
  assert.deepEqual(unsupportedInRoute(hostile), [])
})
