import { bool, choice, int, list, listMap, obj, required, str } from './node.ts'
import { MAX_INT32, cel, duration, durationPattern, label, objectName } from './scalar.ts'
import { names } from './auth.ts'
import { conditions } from './condition.ts'
import { ageColumn, conditionColumn } from './resource.ts'
import type { ObjectNode } from './node.ts'
import type { Resource } from './resource.ts'

function targetRef(): ObjectNode {
  return obj('TargetRef', 'What the limits are for.', {
    group: required(choice('API group of the target.', ['modelroute.io'])),
    kind: required(choice('Kind of the target.', ['ModelRoute'])),
    name: required(objectName('Name of the route, in the namespace of the policy.')),
    sectionName: label('Name of one of its rules. Default: all of them.'),
  })
}

function counter(): ObjectNode {
  return obj(
    'Counter',
    'What tells one count from another.',
    {
      type: required(choice(`Principal: the authenticated consumer, or the address of an anonymous one. SourceIP: the
        client address. Tier; Group: each group of the caller counts; Claim and Header: their value, with name. Model,
        Variant and Route: what the request went to.`,
        ['Principal', 'SourceIP', 'Tier', 'Group', 'Claim', 'Header', 'Model', 'Variant', 'Route'])),
      name: str('Name of the claim or header.', { min: 1, max: 128 }),
    },
    {
      rules: [{
        rule: "(self.type in ['Header', 'Claim']) == has(self.name)",
        message: 'name goes with Header and Claim, which need it',
      }],
    },
  )
}

function rate(): ObjectNode {
  const amount = (description: string) => int(description, 0, Number.MAX_SAFE_INTEGER)
  return obj(
    'Rate',
    'How much, in how long. Exactly one of requests, tokens and cost.',
    {
      requests: amount('Requests in the window; with Concurrency, requests in progress.'),
      tokens: amount('Input and output tokens in the window.'),
      cost: amount('Cost in the window, in the unit of the expression cost of the limit.'),
      window: str('A duration, or month (calendar month, UTC). Required, but for Concurrency, which has none.', {
        max: 24,
        pattern: `^month$|${durationPattern}`,
        expects: 'a duration such as 1m or 24h, or month',
        rules: [{ rule: "self == 'month' || duration(self) > duration('0s')", message: 'must be longer than 0s' }],
      }),
      burst: amount('What may be used at once beyond the amount, for TokenBucket: its capacity is both. Default: 0.'),
    },
    {
      rules: [{
        rule: '[has(self.requests), has(self.tokens), has(self.cost)].filter(x, x).size() == 1',
        message: 'exactly one of requests, tokens, cost',
      }],
    },
  )
}

function limit(): ObjectNode {
  const is = (field: string, value: string) => `(has(self.${field}) && self.${field} == '${value}')`
  return obj(
    'Limit',
    'One limit.',
    {
      name: required(label('Name of the limit, unique in the policy, in metrics and RateLimit headers.')),
      appliesTo: obj('LimitSelector', 'Requests that the limit is for; all of what is given must hold. Default: all.', {
        tiers: names('Tiers; the caller must have one of them.', 16),
        groups: names('Groups; the caller must be in one of them.'),
        consumers: names('Consumers; the caller must be one of them.'),
        models: names('Models; the request must name one of them.'),
        when: cel('CEL expression over request and principal that must be true.'),
      }),
      counters: list('Combined, they tell one count from another. Default: one count for the whole limit.', counter(),
        { max: 8 }),
      algorithm: choice(`FixedWindow: counts begin anew at whole windows, UTC. SlidingWindow: weighed with the window
        before. SlidingLog: exact over the last window. TokenBucket: refilled steadily. Concurrency: requests in
        progress. Default: FixedWindow.`,
        ['FixedWindow', 'SlidingWindow', 'SlidingLog', 'TokenBucket', 'Concurrency']),
      rate: required(rate()),
      cost: cel(`CEL expression over request, response and usage that gives the cost of a request, for rate.cost. Knows
        rows, tensorElements, requestBytes, inputTokens, outputTokens and backendSeconds.`),
      onLimit: choice('Reject answers 429. Queue lets the request wait for its turn. Default: Reject.',
        ['Reject', 'Queue']),
      queue: obj('Queue', 'How requests wait, for onLimit Queue.', {
        maxWait: duration('How long one waits before it is refused. Default: 2s.'),
        maxDepth: int('Requests that wait at once. Default: 100.', 1, MAX_INT32),
      }),
      scope: choice(`Global: one count over all proxies; needs Redis when there is more than one. Local: each proxy
        counts for itself. Default: Global.`, ['Global', 'Local']),
      mode: choice('Shadow counts and reports, but refuses nothing. Default: Enforce.', ['Enforce', 'Shadow']),
      onStoreFailure: choice(`When the shared count cannot be reached: count in the proxy, let everything through, or
        refuse everything. Default: Local.`, ['Local', 'Allow', 'Deny']),
    },
    {
      rules: [
        {
          rule: 'has(self.rate.cost) == has(self.cost)',
          message: 'the expression cost goes with rate.cost, which needs it',
        },
        {
          rule: `${is('algorithm', 'Concurrency')} != has(self.rate.window)`,
          message: 'every algorithm needs a window, but Concurrency, which has none',
          at: 'rate.window',
        },
        {
          rule: `!has(self.rate.burst) || ${is('algorithm', 'TokenBucket')}`,
          message: 'goes with algorithm TokenBucket',
          at: 'rate.burst',
        },
        { rule: `!has(self.queue) || ${is('onLimit', 'Queue')}`, message: 'goes with onLimit Queue', at: 'queue' },
      ],
    },
  )
}

const spec = obj('RateLimitPolicySpec', 'What is limited, and how far.', {
  targetRefs: required(list('Routes, or rules of them, in the namespace of the policy.', targetRef(), {
    min: 1,
    max: 16,
    rules: [{
      rule: 'self.all(a, self.exists_one(b, a.name == b.name && ' +
        "(has(a.sectionName) ? a.sectionName : '') == (has(b.sectionName) ? b.sectionName : '')))",
      message: 'the same target twice',
    }],
  })),
  strategy: choice(`What becomes of limits of the same name in a more specific policy (GEP-713): Defaults gives way to
    them, Overrides wins over them. Default: Defaults.`, ['Defaults', 'Overrides']),
  limits: required(listMap('The limits. Every limit that applies must allow a request; all are taken in one step.',
    ['name'], limit(), { min: 1, max: 64 })),
})

const status = obj('RateLimitPolicyStatus', 'What the controller and the proxies made of it.', {
  observedGeneration: int('Generation of the policy that this was said of.', 0, Number.MAX_SAFE_INTEGER),
  targets: list('Each of targetRefs.', obj('TargetStatus', 'One target.', {
    name: required(objectName('Name of the route.')),
    sectionName: label('Name of the rule.'),
    accepted: bool('Whether the limits are in force there.'),
    reason: str('Why, in one word.', { max: 1024 }),
  }), { max: 16 }),
  conditions: conditions('Accepted and Programmed.'),
})

export const rateLimitPolicy: Resource = {
  kind: 'RateLimitPolicy',
  plural: 'ratelimitpolicies',
  singular: 'ratelimitpolicy',
  shortName: 'mrlp',
  description: 'Limits requests, tokens, cost or concurrency of ModelRoutes, by who calls and what for.',
  /** GEP-713: what it says of a route holds for each of its rules. */
  labels: { 'gateway.networking.k8s.io/policy': 'inherited' },
  columns: [
    { name: 'Target', type: 'string', description: 'First of the routes.', path: '.spec.targetRefs[*].name' },
    conditionColumn('Accepted', 'Whether the controller accepts it.'),
    conditionColumn('Programmed', 'Whether every connected proxy has it in force.'),
    ageColumn,
    { name: 'Strategy', type: 'string', description: 'Defaults or Overrides.', path: '.spec.strategy', priority: 1 },
  ],
  spec,
  status,
}
