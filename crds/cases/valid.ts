import { canary, composeRule, head, limit, match, policy, route, rule, stable, target } from './parts.ts'
import type { Json } from './parts.ts'

const claims = { consumer: 'sub', groups: 'groups', tier: 'tier', scopes: 'scope' }
const changes = {
  headers: {
    set: [{ name: 'x-region', value: 'eu' }],
    add: [{ name: 'x-trace', value: '' }],
    remove: ['x-internal'],
  },
  body: { set: [{ pointer: '/parameters/x', value: '1 + 1' }], remove: ['/ssn', ''] },
}

export const fullRule = {
  name: 'infer',
  matches: [
    {},
    {
      path: { type: 'Exact', value: '/v2/models/fraud/infer' },
      method: 'POST',
      headers: [{ name: 'x-tier', type: 'Exact', value: 'gold' }, { name: 'x-beta', type: 'Present' }],
      queryParams: [{ name: 'v[]', type: 'Prefix', value: '2' }],
      model: { type: 'Exact', name: 'fraud', version: '2' },
      body: [{ pointer: '/parameters/region', type: 'RegularExpression', value: 'eu|us' }],
      principal: { consumers: ['acme'], groups: ['g'], tiers: ['pro'], claims: [{ name: 'org', value: 'acme' }] },
      countries: ['DE', 'FR'],
      sourceCIDRs: ['10.0.0.0/8', '2001:db8::/32'],
      when: 'request.headers["x-beta"] == "1"',
    },
    { path: { type: 'RegularExpression', value: '.*//.*' } },
    { path: { value: '/' } },
  ],
  auth: { anonymous: true },
  authorization: { allow: [{ consumers: ['acme'] }] },
  backendRefs: [
    { ...stable, kind: 'Service', group: '', namespace: 'ml', endpointMode: 'ServiceIP', priority: 0,
      model: { name: 'fraud', version: '3' }, protocol: 'V2' },
    { variant: 'canary', kind: 'InferenceService', group: 'serving.kserve.io', name: 'fraud-v2',
      component: 'predictor' },
    { variant: 'shadow', kind: 'InferenceService', name: 'fraud-v3', port: 80, weight: 0, endpointMode: 'Pods' },
    { variant: 'remote', kind: 'URL', url: 'https://models.example.com/base', priority: 1, protocol: 'OpenAI',
      tls: { caRef: { name: 'ca', namespace: 'ml', key: 'ca.crt' }, serverName: 'models.example.com',
        clientCertificateRef: { name: 'client', namespace: 'ml' } },
      credentials: { secretRef: { name: 'token', namespace: 'ml', key: 'token' }, header: 'x-api-key', scheme: '' } },
    { variant: 'other', kind: 'URL', url: 'http://[::1]:8080', priority: 2,
      credentials: { oauth2: { tokenUrl: 'https://login.example.com/token?tenant=1',
        clientSecretRef: { name: 'client', namespace: 'ml' }, scopes: ['infer'] } } },
  ],
  split: { by: 'Cookie', name: 'variant' },
  overrides: [
    { header: 'x-canary', value: 'always', variant: 'canary' },
    { header: 'x-canary', value: 'shadow', variant: 'shadow' },
  ],
  rollout: {
    candidate: 'canary',
    paused: false,
    steps: [{ percent: 5, hold: '5m' }, { percent: 25, hold: '5m', approval: true }, { percent: 50, approval: true }],
    analysis: {
      interval: '10s', minRequests: 200, failureLimit: 2, onNoData: 'Hold',
      metrics: [
        { name: 'error-rate', max: '0.01' },
        { name: 'p99-latency', maxRatioToStable: '1.2' },
        { name: 'slow', type: 'Latency', percentile: 90, max: '1e-1' },
        { name: 'revenue', type: 'ResponseField', pointer: '/score', min: '0.3', minRatioToStable: '0.95' },
        { name: 'prom', type: 'Prometheus', prometheus: { address: 'http://prometheus:9090', query: 'up' }, min: '1' },
        { name: 'hook', type: 'Webhook', webhook: { url: 'https://hooks.example.com/gate' }, max: '0' },
      ],
    },
  },
  mirror: { variant: 'shadow', percent: 10, compare: { absolute: '1e-6', relative: '0.001', ignore: ['/id'] } },
  timeouts: {
    request: '60s', backendRequest: '55s', connect: '1s', firstByte: '30s', streamIdle: '1h30m',
    deadlineHeader: 'x-request-deadline',
  },
  retry: {
    attempts: 1, reasons: ['connect-failure', 'reset-before-response', 'timeout'], codes: [503], budgetPercent: 10,
    backoff: '25ms',
    idempotent: 'Inference',
  },
  hedge: { after: '200ms', budgetPercent: 5 },
  fallbackResponse: { status: 200, contentType: 'application/json', body: '{}' },
  loadBalancing: { policy: 'ConsistentHash', hashOn: 'Header', name: 'x-user', slowStart: '30s', zoneAware: true },
  health: {
    active: { type: 'HTTP', path: '/v2/health/ready', interval: '5s', timeout: '1s', healthy: 2, unhealthy: 3 },
    passive: { consecutiveErrors: 5, window: '10s', ejectFor: '30s', maxEjectedPercent: 50 },
  },
  circuitBreaker: {
    maxRequests: 256, maxPending: 64, errorPercent: 50, slowPercent: 80, slowAfter: '2s', minRequests: 20,
      openFor: '10s',
  },
  wakeUp: { hold: '60s' },
  sizeLimits: { request: '32Mi', response: 268_435_456 },
  validation: {
    request: { source: 'Inline', schema: { type: 'object', properties: { '__anything__': {} } } },
    response: { source: 'ConfigMap', configMapRef: { name: 'schemas', namespace: 'ml', key: 'fraud.json' },
      onError: 'Reject' },
  },
  transform: {
    request: changes,
    response: { ...changes, enrich: { pointer: '/parameters', confidence: { pointer: '/predictions', low: '0.6' } } },
  },
  batching: { maxSize: 32, maxDelay: '5ms', scope: 'Tenant' },
  cache: {
    ttl: '5m', scope: 'Principal', maxBytes: '64Mi', maxEntryBytes: '1Mi',
    vary: { headers: ['accept-language'], pointers: ['/model'] }, tags: ['fraud'], staleIfError: '1m',
    nondeterministic: 'Bypass', billing: 'Percent', billingPercent: 20,
    semantic: {
      threshold: '0.95', text: '/messages', verifyPercent: 1, maxFalseHitPercent: 1,
      embedding: { backendRef: { name: 'e5', port: 80 }, model: 'e5' },
    },
  },
  plugins: [{ name: 'my-filter', config: { deep: { er: [1, null, 'x'] } } }],
  logging: { predictions: { samplePercent: 10, bodies: 'Redacted', redact: ['/instances/*/ssn'] }, audit: 'Strict' },
}

const fullRoute = route({
  gatewayNames: ['default', 'edge'],
  hostnames: ['models.example.com', '*.example.com'],
  tls: { certificateRefs: [{ name: 'models-tls', namespace: 'ml' }] },
  auth: {
    anyOf: [
      { apiKey: { in: 'Header', name: 'x-api-key',
        selector: { matchLabels: { 'modelroute.io/consumer-group': 'acme' } } } },
      { apiKey: { in: 'Bearer' } },
      { jwt: { issuer: 'https://login.example.com', audiences: ['models'], algorithms: ['RS256',
        'EdDSA'], leeway: '30s',
        claims, jwks: { uri: 'https://login.example.com/keys' } } },
      { jwt: { issuer: 'acme', jwks: { secretRef: { name: 'keys', namespace: 'ml', key: 'jwks.json' } } } },
      { introspection: { endpoint: 'https://login.example.com/introspect', clientSecretRef: { name: 'client',
        namespace: 'ml' },
        cache: '30s', claims } },
    ],
    anonymous: true,
  },
  authorization: {
    allow: [{ consumers: ['acme'], groups: ['g'], tiers: ['pro'], scopes: ['infer'], models: ['fraud'],
      methods: ['GET', 'POST'], when: 'true' }],
  },
  cors: { allowOrigins: ['https://app.example.com', 'https://*.example.com'], allowMethods: ['POST', 'OPTIONS'],
    allowHeaders: ['content-type'], exposeHeaders: ['x-request-id'], allowCredentials: true, maxAge: '10m' },
  rules: [fullRule, composeRule],
})

export const limits = [
  {
    name: 'free-daily',
    appliesTo: { tiers: ['free'], groups: ['g'], consumers: ['acme'], models: ['fraud'], when: 'true' },
    counters: [{ type: 'Principal' }, { type: 'Claim', name: 'org' }, { type: 'Header', name: 'x-team' }],
    algorithm: 'TokenBucket', rate: { requests: 100, window: '24h', burst: 10 }, onLimit: 'Queue',
    queue: { maxWait: '2s', maxDepth: 100 }, scope: 'Global', mode: 'Enforce', onStoreFailure: 'Local',
  },
  { name: 'tokens', rate: { tokens: 9_007_199_254_740_991, window: 'month' } },
  { name: 'cost', rate: { cost: 5, window: '1m' }, cost: 'rows * 2' },
  { name: 'inflight', algorithm: 'Concurrency', rate: { requests: 4 } },
]

/**
 * Objects that must be accepted, by the validator here and by a real API server in test/cluster. Together they use
 * every field there is.
 */
export const valid: readonly Readonly<{ name: string; object: Json }>[] = [
  { name: 'a route with every field', object: fullRoute },
  { name: 'the least of a route', object: rule() },
  { name: 'a policy with every field', object: policy({ targetRefs: [{ ...target, sectionName: 'infer' }, target],
    strategy: 'Overrides', limits }) },
  { name: 'the least of a policy', object: limit({}) },
  { name: 'two empty matches', object: rule({ matches: [{}, {}] }) },
  { name: 'blue-green', object: rule({
    backendRefs: [{ ...stable, weight: 0 }, { ...canary, weight: 100 }],
    rollout: { candidate: 'canary', steps: [{ percent: 0, approval: true }] },
    overrides: [{ header: 'x-preview', value: 'yes', variant: 'canary' }],
  }) },
  { name: 'no limit on the whole request', object: rule({ timeouts: { request: '0s', backendRequest: '1h' } }) },
  { name: 'the largest weight', object: rule({ backendRefs: [{ ...stable, weight: 1_000_000 }] }) },
  { name: 'sixty-four rules of sixty-four matches and sixteen variants', object: route({
    rules: Array.from({ length: 64 }, (_, r) => ({
      name: `rule-${r}`,
      matches: Array.from({ length: 64 }, (_, m) => ({ path: { value: `/${r}/${m}` }, headers: [{ name: 'a',
        value: 'b' }] })),
      backendRefs: Array.from({ length: 16 }, (_, b) => ({ ...stable, variant: `variant-${b}` })),
      overrides: Array.from({ length: 16 }, (_, b) => ({ header: 'x-variant', value: `${b}`,
        variant: `variant-${b}` })),
    })),
  }) },
  { name: 'labels and annotations', object: { ...rule(), metadata: { ...head.metadata, labels: { app: 'x' },
    annotations: { 'rollout.modelroute.io/infer': 'promote@1' } } } },
  { name: 'text outside the basic plane, counted in code points', object: match({
    body: [{ pointer: '/x', value: '😀'.repeat(4096) }] }) },
]
