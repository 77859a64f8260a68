import { serviceAt } from '../../manifests.ts'

/** Ports of loopback. */
export type Backends = Readonly<{ model: number; flaky: readonly [number, number]; dead: number; plain: number }>

const route = (name: string, path: string, rest: string): string => `
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: ${name}}
spec:
  rules:
  - name: infer
    matches: [{path: {type: PathPrefix, value: ${path}}}]
${rest.replace(/^\n|\n$/g, '')}`

/** What the quickstart has not: a rule for each thing that the dashboards show. @param rolled weight of the candidate, in percent */
export const everything = ({ model, flaky, dead, plain }: Backends, rolled: number): string => [
  serviceAt('model', model), serviceAt('flaky', flaky[0]), (serviceAt('flaky', flaky[1]).split('---\n')[1] ?? '').replace('name: flaky,', 'name: flaky-more,'), serviceAt('dead', dead), serviceAt('plain', plain),
  route('chat', '/v1/chat/completions', `
    backendRefs: [{variant: stable, name: model, port: 8000, model: {name: llama}}]
    cache:
      ttl: 1h
      scope: Shared
      maxBytes: 64Ki
      maxEntryBytes: 16Ki
      semantic: {threshold: "0.9", embedding: {backendRef: {name: model, port: 8000}, model: minilm}, verifyPercent: 50}
`),
  `
apiVersion: modelroute.io/v1alpha1
kind: RateLimitPolicy
metadata: {name: tokens}
spec:
  targetRefs: [{group: modelroute.io, kind: ModelRoute, name: chat}]
  limits:
  - {name: tokens, counters: [{type: Route}], rate: {tokens: 1000000000, window: 24h}}
  - {name: budget, counters: [{type: Route}], rate: {cost: 1000000, window: 24h}, cost: "1 + outputTokens * 0.001"}
  - {name: few, mode: Shadow, counters: [{type: Route}], rate: {requests: 1, window: 1m}}`,
  route('limited', '/limited', `
    backendRefs: [{variant: stable, name: plain, port: 8000}]
`),
  `
apiVersion: modelroute.io/v1alpha1
kind: RateLimitPolicy
metadata: {name: few}
spec:
  targetRefs: [{group: modelroute.io, kind: ModelRoute, name: limited}]
  limits:
  - {name: few, counters: [{type: Route}], rate: {requests: 1, window: 10s}}`,
  route('tough', '/v2/models/tough', `
    backendRefs:
    - {variant: stable, name: flaky, port: 8000, model: {version: "1"}}
    - {variant: small, name: model, port: 8000, priority: 1, model: {name: fraud}}
    retry: {attempts: 1, reasons: [connect-failure], codes: [503], idempotent: Inference}
    hedge: {after: 20ms, budgetPercent: 50}
    health: {active: {type: HTTP, path: /health, interval: 1s}, passive: {consecutiveErrors: 50, ejectFor: 1s}}
    circuitBreaker: {maxRequests: 64, maxPending: 64, errorPercent: 90, openFor: 1s}
`),
  route('broken', '/broken', `
    backendRefs:
    - {variant: stable, name: dead, port: 8000}
    - {variant: small, name: flaky, port: 8000, priority: 1}
`),
  route('mirrored', '/mirrored', `
    backendRefs:
    - {variant: stable, name: plain, port: 8000}
    - {variant: shadow, name: model, port: 8000, weight: 0, model: {version: "2"}}
    mirror: {variant: shadow, percent: 100, compare: {}}
`),
  route('batched', '/v2/models/batched', `
    backendRefs: [{variant: stable, name: model, port: 8000}]
    batching: {maxSize: 8, maxDelay: 50ms}
`),
  `
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: composed}
spec:
  rules:
  - name: both
    matches: [{path: {type: Exact, value: /composed}}]
    compose:
      steps:
      - {name: one, backendRef: {name: plain, port: 8000}, path: /one}
      output: '{"one": steps.one.body}'`,
  route('checked', '/checked', `
    plugins: [{name: template, config: {header: x-key}}]
    backendRefs: [{variant: stable, name: plain, port: 8000}]
    validation: {request: {source: Inline, schema: {type: object, required: [a]}}}
    logging: {predictions: {samplePercent: 100}}
`),
  route('rolled', '/rolled', `
    backendRefs:
    - {variant: stable, name: plain, port: 8000, weight: ${100 - rolled}}
    - {variant: canary, name: flaky, port: 8000, weight: ${rolled}}
    rollout:
      candidate: canary
      steps: [{percent: 50, hold: 10m}]
      analysis:
        interval: 1s
        minRequests: 5
        failureLimit: 1000
        metrics: [{name: error-rate, max: "0.99"}]
`),
].join('\n---\n')
