import { bool, choice, int, list, listMap, obj, required, str } from './node.ts'
import { MAX_INT32, decimal, duration, label, percent, pointer, positiveDuration, url } from './scalar.ts'
import { variantName } from './match.ts'
import type { ObjectNode } from './node.ts'

const builtIn = ['error-rate', 'p50-latency', 'p95-latency', 'p99-latency', 'mirror-mismatch']

/** Fields that come with one type of metric and with no other. */
const goesWith = (field: string, type: string) => ({
  rule: `(has(self.type) && self.type == '${type}') == has(self.${field})`,
  message: `${field} goes with type ${type}, which needs it`,
})

function metric(): ObjectNode {
  const prometheus = obj('PrometheusMetric', 'Where type Prometheus measures.', {
    address: required(url('Address of the Prometheus server.')),
    query: required(str('PromQL query that gives one number.', { min: 1, max: 4096 })),
  })
  const webhook = obj('WebhookMetric', 'Whom type Webhook asks.', {
    url: required(url('Address that answers with a number.')),
  })
  return obj(
    'Metric',
    'A measurement of the candidate and the bounds that it must keep. At least one bound.',
    {
      name: required(label(`Name of the gate. ${builtIn.join(', ')} need no type.`)),
      type: choice('What is measured. Default: what the name says.', ['ErrorRate', 'Latency', 'CostPerRequest',
        'TokensPerSecond', 'MirrorMismatch', 'ResponseField', 'Prometheus', 'Webhook']),
      percentile: int('Percentile of the latency, for type Latency.', 1, 99),
      pointer: pointer('Field of the JSON response, a number whose mean is taken, for type ResponseField.'),
      prometheus,
      webhook,
      max: decimal('Upper bound. Rates are fractions of 1, latencies are in seconds.'),
      min: decimal('Lower bound.'),
      maxRatioToStable: decimal('Upper bound as a multiple of what the other variants measure, such as "1.2".'),
      minRatioToStable: decimal('Lower bound as a multiple of what the other variants measure, such as "0.95".'),
    },
    {
      rules: [
        {
          rule: 'has(self.max) || has(self.min) || has(self.maxRatioToStable) || has(self.minRatioToStable)',
          message: 'needs a bound: max, min, maxRatioToStable or minRatioToStable',
        },
        {
          rule: `has(self.type) || self.name in [${builtIn.map((name) => `'${name}'`).join(', ')}]`,
          message: `type is required unless the name is one of ${builtIn.join(', ')}`,
        },
        goesWith('percentile', 'Latency'),
        goesWith('pointer', 'ResponseField'),
        goesWith('prometheus', 'Prometheus'),
        goesWith('webhook', 'Webhook'),
      ],
    },
  )
}

export function rollout(): ObjectNode {
  const step = obj('RolloutStep', 'A share of the candidate, and what must pass before the next.', {
    percent: required(percent('Share of the candidate, of all requests. Steps at or above its target are skipped.')),
    hold: duration('Stay at least this long. With approval, both are needed. Default: 0s.'),
    approval: bool('Stay until `modelroute rollout promote`. Default: false.'),
  })
  const analysis = obj('Analysis', 'Gates, judged on what the proxies themselves measure for each variant.', {
    interval: positiveDuration('Time between two judgements. Default: 10s.'),
    minRequests: int('Requests of the candidate that a judgement needs. Default: 200.', 0, MAX_INT32),
    failureLimit: int('Failed judgements in a row that abort the rollout. Default: 2.', 1, 1000),
    onNoData: choice('What too few requests mean: wait, abort, or take the step all the same. Default: Hold.',
      ['Hold', 'Abort', 'Continue']),
    metrics: listMap('The gates. All must hold.', ['name'], metric(), { max: 16 }),
  })
  return obj(
    'Rollout',
    `Move the traffic from the last promoted split to the target weights in steps. Without it, an edit of a weight takes
      effect at once. Blue-green: weights 0 and 100, and the one step {percent: 0, approval: true}.`,
    {
      candidate: variantName('Variant that is rolled out, one of backendRefs.'),
      paused: bool('Stay at the present step. Default: false.'),
      steps: list('Shares on the way to the target, increasing. After the last follow the target weights.', step, {
        max: 32,
        rules: [{
          rule: 'self.map(s, s.percent).isSorted() && self.all(s, self.exists_one(t, t.percent == s.percent))',
          message: 'percent must increase from step to step',
        }],
      }),
      analysis,
    },
  )
}
