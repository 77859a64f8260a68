import { bool, choice, int, obj, required, setOf, str } from './node.ts'
import { MAX_INT32, duration, headerName, percent, positiveDuration } from './scalar.ts'
import type { ObjectNode } from './node.ts'

export function timeouts(): ObjectNode {
  return obj(
    'Timeouts',
    'How long the gateway waits. 0s = no limit.',
    {
      request: duration('From the whole request to the end of its answer, over all tries. Default: 60s.'),
      backendRequest: duration('The same for one try; at most request. Default: 60s.'),
      connect: duration('Until the connection to the backend stands. Default: 1s.'),
      firstByte: duration('From the request sent to the first byte of the answer. Default: no limit.'),
      streamIdle: duration('Between two pieces of a streamed answer. Default: 5m.'),
      deadlineHeader: headerName(`Header in which the caller may ask for less time, in seconds or as a duration, such as
        x-request-deadline. Default: none.`),
    },
    {
      rules: [{
        rule: "!has(self.request) || !has(self.backendRequest) || duration(self.request) == duration('0s') || " +
          'duration(self.backendRequest) <= duration(self.request)',
        message: 'must not exceed request',
        at: 'backendRequest',
      }],
    },
  )
}

export function retry(description: string): ObjectNode {
  return obj('Retry', description, {
    attempts: int('Retries after the first try. Default: 1.', 0, 10),
    reasons: setOf('Failures that are retried. Default: connect-failure and reset-before-response.',
      choice('A failure.', ['connect-failure', 'reset-before-response', 'timeout']), { max: 3 }),
    codes: setOf('Status codes of the backend that are retried, such as 503. Default: none.',
      int('A status code.', 400, 599), { max: 16 }),
    idempotent: choice(`Which calls may be made twice; others are repeated only where the backend certainly did not act on
      them. Methods: those that HTTP calls idempotent, and requests with an Idempotency-Key. Inference: the calls of V1,
      V2 and OpenAI that compute, too. Default: Methods.`, ['Methods', 'Inference']),
    budgetPercent: percent('Retries as a share of the requests in progress, at most. Default: 10.'),
    backoff: duration('Wait before a retry, doubled each time and spread at random. Default: 25ms.'),
  })
}

export function hedge(): ObjectNode {
  return obj('Hedge', 'Ask a second endpoint when the first is slow; the first answer wins, the other is cancelled.', {
    after: required(positiveDuration('How long to wait for the first byte before asking the second.')),
    budgetPercent: percent('Second requests as a share of all, at most. Default: 5.'),
  })
}

export function loadBalancing(): ObjectNode {
  return obj(
    'LoadBalancing',
    'How an endpoint is picked within a variant.',
    {
      policy: choice(`RoundRobin: in turn. LeastRequest: the less busy of two picked at random. PeakEWMA: the faster of
        two. ConsistentHash: the same for the same key. InferenceAware: by queue and cache as the model servers report
        them. Default: LeastRequest.`, ['RoundRobin', 'LeastRequest', 'PeakEWMA', 'ConsistentHash', 'InferenceAware']),
      hashOn: choice('Key of ConsistentHash, which needs it. Default: none, for the other policies.',
        ['Header', 'Principal', 'Cookie', 'PromptPrefix']),
      name: headerName('Name of the header or cookie that hashOn takes.'),
      slowStart: duration('Time over which a new endpoint comes to its full share. Default: 0s.'),
      zoneAware: bool("Prefer endpoints in the proxy's own zone while they can take the load. Default: false."),
    },
    {
      rules: [
        {
          rule: "(has(self.policy) && self.policy == 'ConsistentHash') == has(self.hashOn)",
          message: 'hashOn goes with policy ConsistentHash, which needs it',
        },
        {
          rule: "(has(self.hashOn) && self.hashOn in ['Header', 'Cookie']) == has(self.name)",
          message: 'name goes with hashOn Header and Cookie, which need it',
        },
      ],
    },
  )
}

export function health(): ObjectNode {
  const active = obj(
    'ActiveHealth',
    'Ask each endpoint regularly.',
    {
      type: choice(`HTTP: GET path answers 2xx. GRPC: the gRPC health protocol. Model: the server says that the model of
        this variant is ready. Default: HTTP.`, ['HTTP', 'GRPC', 'Model']),
      path: str('Path to ask for, for type HTTP, such as /v2/health/ready. Default: /.', {
        min: 1,
        max: 1024,
        pattern: '^/[^ \\t\\r\\n#]*$',
        expects: 'a path that begins with /',
      }),
      interval: positiveDuration('Time between two questions. Default: 5s.'),
      timeout: positiveDuration('How long to wait for the answer; at most interval. Default: 1s.'),
      healthy: int('Good answers in a row that bring an endpoint back. Default: 2.', 1, 100),
      unhealthy: int('Bad answers in a row that take it out. Default: 3.', 1, 100),
    },
    {
      rules: [
        {
          rule: '!has(self.timeout) || !has(self.interval) || duration(self.timeout) <= duration(self.interval)',
          message: 'must not exceed interval',
          at: 'timeout',
        },
        {
          rule: "!has(self.path) || !has(self.type) || self.type == 'HTTP'",
          message: 'goes with type HTTP',
          at: 'path',
        },
      ],
    },
  )
  const passive = obj('PassiveHealth', 'Watch the answers to real requests.', {
    consecutiveErrors: int('Failures in a row that eject an endpoint. Default: 5.', 1, 1000),
    window: positiveDuration('Time within which they must follow each other. Default: 10s.'),
    ejectFor: positiveDuration('How long it stays out the first time; longer each time after. Default: 30s.'),
    maxEjectedPercent: percent('Share of the endpoints that may be out at once. Default: 50.'),
  })
  return obj('Health', 'Which endpoints are fit to be asked. Default: those that Kubernetes calls ready.', {
    active,
    passive,
  })
}

export function circuitBreaker(): ObjectNode {
  return obj(
    'CircuitBreaker',
    'Stop asking a backend that is overloaded or failing. Each limit is for one variant in one proxy.',
    {
      maxRequests: int('Requests in progress, at most. Default: no limit.', 1, MAX_INT32),
      maxPending: int('Requests that may wait for one of those places. Default: 0.', 0, MAX_INT32),
      errorPercent: percent('Share of failures that opens the circuit. Default: failures do not.', 1),
      slowPercent: percent('Share of slow answers that opens the circuit. Needs slowAfter. Default: they do not.', 1),
      slowAfter: positiveDuration('An answer that takes longer is slow.'),
      minRequests: int('Requests that such a share is counted over, at least. Default: 20.', 1, MAX_INT32),
      openFor: positiveDuration('How long it stays open before a request tries again. Default: 10s.'),
    },
    {
      rules: [{
        rule: 'has(self.slowPercent) == has(self.slowAfter)',
        message: 'slowPercent and slowAfter go together',
      }],
    },
  )
}

export function fallbackResponse(): ObjectNode {
  return obj('FallbackResponse', 'Answer of last resort, when no backend could answer.', {
    status: int('Status code. Default: 200.', 200, 599),
    contentType: str('Content type. Default: application/json.', {
      min: 1,
      max: 255,
      pattern: '^[^\\x00-\\x1f\\x7f]+$',
      expects: 'a media type such as application/json',
    }),
    body: required(str('The body, as it is sent.', { max: 65_536 })),
  })
}
