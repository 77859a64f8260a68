import { choice, obj, required, setOf, size, str } from './node.ts'
import { decimal, duration, headerName, percent, pointer, positiveDuration } from './scalar.ts'
import { callee } from './backend.ts'
import type { ObjectNode } from './node.ts'

function semantic(): ObjectNode {
  const embedding = obj('Embedding', 'The model that turns text into vectors.', {
    backendRef: required(callee('The server that is asked.')),
    model: str('Name of the model to ask for.', { min: 1, max: 253 }),
  })
  return obj('SemanticCache', 'Also answer a request whose text means the same as one answered before.', {
    threshold: decimal('Cosine similarity that counts as the same. Default: "0.95".'),
    text: pointer('The text that is compared, in the body of the request, such as /messages.'),
    embedding: required(embedding),
    verifyPercent: percent('Share of such hits that also asks the model, to count the false ones. Default: 1.'),
    maxFalseHitPercent: percent('Share of false hits at which the semantic cache turns itself off. Default: 1.'),
  })
}

export function cache(): ObjectNode {
  const vary = obj('CacheVary', 'What else the answer depends on.', {
    headers: setOf('Headers of the request.', headerName('Name of the header.'), { max: 16 }),
    pointers: setOf('Values of the JSON body; without any, the whole body counts.', pointer('A JSON Pointer.'), {
      max: 16,
    }),
  })
  return obj(
    'Cache',
    'Answer again what was answered before.',
    {
      ttl: required(positiveDuration('How long an answer is kept.')),
      scope: choice(`Who may be given the same answer: the same principal, the same namespace, or everyone.
        Default: Principal.`, ['Principal', 'Tenant', 'Shared']),
      maxBytes: size('Memory for the answers of this rule in one proxy. Default: 64Mi.'),
      maxEntryBytes: size('Largest answer that is kept. Default: 1Mi.'),
      vary,
      tags: setOf('Names under which the answers can be purged together.', str('A tag.', {
        min: 1,
        max: 128,
        pattern: '^[A-Za-z0-9._:/-]+$',
        expects: 'letters, digits and . _ : / -',
      }), { max: 16 }),
      staleIfError: duration('How much longer an old answer stands in for a failed backend. Default: 0s.'),
      nondeterministic: choice('What to do with requests that ask for chance, as with a temperature. Default: Bypass.',
        ['Bypass', 'Cache']),
      billing: choice('What a hit counts against limits, of what it cost at first. Default: Full.', ['Free', 'Full', 'Percent']),
      billingPercent: percent('Share that a hit counts, for billing Percent.'),
      semantic: semantic(),
    },
    {
      rules: [{
        rule: "(has(self.billing) && self.billing == 'Percent') == has(self.billingPercent)",
        message: 'billingPercent goes with billing Percent, which needs it',
      }],
    },
  )
}
