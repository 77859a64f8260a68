import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'

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

const spec = find(schemaOf('modelroutes'), 'spec')!

const secret = (field: string) => [`${field}.name`, `${field}.namespace`]
const claims = ['consumer', 'groups', 'tier', 'scopes'].map((field) => `claims.${field}`)

/** What is said of a server that is called. */
const callee = (of: string) => [
  'kind', 'group', 'name', 'namespace', 'port', 'component', 'url', 'endpointMode', 'protocol', 'model.name', 'model.version',
  ...['serverName', 'caRef.name', 'caRef.namespace', 'caRef.key', 'clientCertificateRef.name', 'clientCertificateRef.namespace'].map((field) => `tls.${field}`),
  ...[
    'header', 'scheme', 'secretRef.name', 'secretRef.namespace', 'secretRef.key',
    'oauth2.tokenUrl', 'oauth2.clientSecretRef.name', 'oauth2.clientSecretRef.namespace', 'oauth2.scopes[]',
  ].map((field) => `credentials.${field}`),
].map((field) => `${of}.${field}`)

/** What a route may say: all that the schema has. */
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
  ...['variant', 'weight', 'priority'].map((field) => `rules[].backendRefs[].${field}`),
  ...callee('rules[].backendRefs[]'),
  ...['name', 'path', 'input', 'dependsOn[]', 'when', 'forEach', 'maxParallel', 'onError', 'timeout',
    ...['attempts', 'reasons[]', 'codes[]', 'idempotent', 'budgetPercent', 'backoff'].map((field) => `retry.${field}`),
  ].map((field) => `rules[].compose.steps[].${field}`),
  ...callee('rules[].compose.steps[].backendRef'),
  'rules[].compose.output',
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
  ...['samplePercent', 'bodies', 'redact[]'].map((field) => `rules[].logging.predictions.${field}`),
  ...['ttl', 'scope', 'maxBytes', 'maxEntryBytes', 'vary.headers[]', 'vary.pointers[]', 'nondeterministic', 'billing', 'billingPercent', 'tags[]', 'staleIfError'].map(
    (field) => `rules[].cache.${field}`,
  ),
  ...['threshold', 'text', 'embedding.model', 'verifyPercent', 'maxFalseHitPercent'].map((field) => `rules[].cache.semantic.${field}`),
  ...callee('rules[].cache.semantic.embedding.backendRef'),
  ...['request', 'response'].flatMap((side) => ['headers.set[].name', 'headers.set[].value', 'headers.add[].name', 'headers.add[].value', 'headers.remove[]',
    'body.set[].pointer', 'body.set[].value', 'body.remove[]'].map((field) => `rules[].transform.${side}.${field}`)),
  ...['pointer', 'confidence.pointer', 'confidence.low'].map((field) => `rules[].transform.response.enrich.${field}`),
  ...['request', 'response'].flatMap((side) => ['source', 'schema', 'configMapRef.name', 'configMapRef.namespace', 'configMapRef.key']
    .map((field) => `rules[].validation.${side}.${field}`)),
  'rules[].validation.response.onError',
  ...['maxSize', 'maxDelay', 'scope'].map((field) => `rules[].batching.${field}`),
  'rules[].sizeLimits.request',
  'rules[].sizeLimits.response',
].map((path) => `spec.${path}`)

/** A field that comes into the schema before what it asks for is refused with `UnsupportedValue`, and named here once it is honoured. */
test('every field of the schema is compiled, none is ignored', () => {
  const leaves = (schema: Schema, path: string): string[] => {
    if (schema.items) return leaves(schema.items, `${path}[]`)
    const inner = Object.entries(schema.properties ?? {})
    return inner.length > 0
      ? inner.flatMap(([name, node]) => leaves(node, `${path}.${name}`))
      : [path.replace(/(?<=Names|hostnames)\[\]$/, '')]
  }
  assert.deepEqual(leaves(spec, 'spec').sort(), supported.sort())
})
