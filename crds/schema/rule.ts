import { bool, choice, free, int, list, listMap, obj, required, setOf, str, time } from './node.ts'
import {
  MAX_INT32, decimal, duration, headerName, headerValue, label, percent, pointer, positiveDuration,
} from './scalar.ts'
import { auth, authorization } from './auth.ts'
import { backendRef } from './backend.ts'
import { logging, sizeLimits, transform, validation } from './body.ts'
import { cache } from './cache.ts'
import { compose } from './compose.ts'
import { match, variantName } from './match.ts'
import { circuitBreaker, fallbackResponse, health, hedge, loadBalancing, retry, timeouts } from './resilience.ts'
import { rollout } from './rollout.ts'
import type { CelRule, ObjectNode } from './node.ts'

function split(): ObjectNode {
  return obj(
    'Split',
    'By what a request is given to a variant.',
    {
      by: required(choice(`Random: each request for itself. The others are sticky: a key stays on its variant, and moves
        at most once while a weight grows. A request without the key is given at random.`,
        ['Random', 'Principal', 'Header', 'Cookie'])),
      name: headerName('Name of the header or cookie. The gateway sets the cookie.'),
    },
    {
      rules: [{
        rule: "(self.by in ['Header', 'Cookie']) == has(self.name)",
        message: 'name goes with Header and Cookie, which need it',
      }],
    },
  )
}

function override(): ObjectNode {
  return obj('Override', 'A header that chooses the variant.', {
    header: required(headerName('Name of the header.')),
    value: required(headerValue('Value that it must have, exactly.')),
    variant: variantName('Variant that the request goes to, one of backendRefs, whatever its weight.'),
  })
}

function mirror(): ObjectNode {
  const compare = obj('MirrorCompare', 'Compare the answers, and count those that differ.', {
    absolute: decimal('Numbers that differ by no more are equal. Default: "0".'),
    relative: decimal(`Numbers that differ by no more than this part of the larger are equal, and texts that a model wrote,
      where no more than this part of their words differs. Default: "0".`),
    ignore: setOf('Values of the JSON body that may differ.', pointer('A JSON Pointer; * stands for every element of a list.'), { max: 32 }),
  })
  return obj('Mirror', 'Send copies of requests to a variant. Its answers are thrown away.', {
    variant: variantName('Variant that gets the copies, one of backendRefs. With weight 0 it gets nothing else.'),
    percent: percent('Share of the requests that is copied. Default: 100.'),
    compare,
  })
}

const namesVariant = (field: string, name: string): CelRule => ({
  rule: `!has(self.${field}) || (has(self.backendRefs) && ` +
    `self.backendRefs.exists(b, b.variant == self.${field}.${name}))`,
  message: 'must be a variant of backendRefs',
  at: `${field}.${name}`,
})

const rules: readonly CelRule[] = [
  { rule: 'has(self.backendRefs) != has(self.compose)', message: 'exactly one of backendRefs, compose' },
  namesVariant('rollout', 'candidate'),
  namesVariant('mirror', 'variant'),
  {
    rule: '!has(self.overrides) || (has(self.backendRefs) && ' +
      'self.overrides.all(o, self.backendRefs.exists(b, b.variant == o.variant)))',
    message: 'each must name a variant of backendRefs',
    at: 'overrides',
  },
  { rule: '!has(self.split) || has(self.backendRefs)', message: 'goes with backendRefs', at: 'split' },
  { rule: '!has(self.batching) || has(self.backendRefs)', message: 'goes with backendRefs', at: 'batching' },
]

export function rule(): ObjectNode {
  const plugin = obj('Plugin', 'A filter of your own, loaded from the plugin folder of the gateway.', {
    name: required(label('Name of the plugin.')),
    config: free("Its settings, checked against the plugin's own schema."),
  })
  return obj(
    'Rule',
    'Which requests, and what happens to them.',
    {
      name: required(label('Name of the rule, unique in the route. Policies, statuses and commands use it.')),
      matches: list(`Which requests the rule is for: those that any of these matches. Default: all requests. Of several
        rules the most specific match wins, across all routes.`, match(), { max: 64 }),
      auth: auth("Who may call. Default: the route's. Replaces the route's as a whole."),
      authorization: authorization("What callers may do. Default: the route's. Replaces the route's as a whole."),
      backendRefs: listMap('The variants of the model and their shares. Exactly one of backendRefs and compose.',
        ['variant'], backendRef(), {
          min: 1,
          max: 16,
          rules: [{
            rule: 'self.exists(b, (!has(b.priority) || b.priority == 0) && (!has(b.weight) || b.weight > 0))',
            message: 'at least one variant of priority 0 needs a weight above 0',
          }],
        }),
      split: split(),
      overrides: listMap('Headers that choose the variant, past the weights: a canary on demand, or a preview.',
        ['header', 'value'], override(), { max: 16 }),
      rollout: rollout(),
      mirror: mirror(),
      timeouts: timeouts(),
      retry: retry('When and how often a failed request is tried again. Default: never.'),
      hedge: hedge(),
      fallbackResponse: fallbackResponse(),
      loadBalancing: loadBalancing(),
      health: health(),
      circuitBreaker: circuitBreaker(),
      wakeUp: obj('WakeUp', 'Hold requests while a backend starts from nothing.', {
        hold: required(positiveDuration('How long a request waits for the first endpoint.')),
      }),
      sizeLimits: sizeLimits(),
      validation: validation(),
      transform: transform(),
      compose: compose(),
      batching: obj('Batching', 'Join single predictions into one call of the model (V1, V2).', {
        maxSize: required(int('Predictions in one call, at most.', 1, 4096)),
        maxDelay: required(duration('How long the first waits for others.')),
        scope: choice(`Whose requests may go together: those of one principal, or those of all callers; then the model is
          not told who calls. Default: Principal.`, ['Principal', 'Tenant']),
      }),
      cache: cache(),
      plugins: listMap('Filters of your own, in order.', ['name'], plugin, { max: 16 }),
      logging: logging(),
    },
    { rules },
  )
}

/** What the controller says of a rule. */
export function ruleStatus(): ObjectNode {
  const backend = obj('BackendStatus', 'A variant as it is in force.', {
    variant: required(label('Name of the variant.')),
    effectiveWeight: int('Its share now, in millionths of its rule.', 0, 1_000_000),
    promotedWeight: int('Its share in the split last promoted, which an abort goes back to.', 0, 1_000_000),
    endpoints: int('Endpoints that are ready.', 0, MAX_INT32),
    reference: str('Hash of where its requests go. Under another one, a candidate starts at 0.', { max: 64 }),
  })
  const undone = obj('Undone', 'An earlier version of the variants, in force in place of backendRefs.', {
    revision: required(int('Revision that it is of.', 0, Number.MAX_SAFE_INTEGER)),
    backendRefs: required(str('The variants, as JSON.', { max: 262_144 })),
  })
  return obj('RuleStatus', 'A rule as it is in force.', {
    name: required(label('Name of the rule.')),
    phase: choice('Where its rollout is.', ['Stable', 'Progressing', 'Paused', 'AwaitingApproval', 'Aborted']),
    step: int('Step that its rollout is at, from 1; 0 or absent outside a rollout.', 0, 32),
    stepStartedAt: time('When that step began (RFC 3339).'),
    specHash: str('Hash of backendRefs and rollout, which commands must name.', { max: 64 }),
    revision: int('Revision that is in force; `modelroute rollout undo` goes back to an earlier one.', 0,
      Number.MAX_SAFE_INTEGER),
    message: str('What it waits for, or why it stopped.', { max: 4096 }),
    paused: bool('A command paused it.'),
    approved: bool('A command approved of the present step, whose hold is not over.'),
    undone,
    command: str('The last command of an annotation that was obeyed, while the annotation may still be there.', { max: 128 }),
    backends: listMap('Its variants.', ['variant'], backend, { max: 16 }),
  })
}
