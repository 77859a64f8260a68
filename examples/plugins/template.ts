import type { Plugin } from 'modelroute/plugin'

/** A beginning: refuses requests without the header that the rule names. Copy it to begin with. */
export default {
  name: 'template',
  schema: {
    type: 'object',
    properties: { header: { type: 'string', minLength: 1 } },
    required: ['header'],
    additionalProperties: false,
  },
  build: ({ config: { header } }) => (exchange) =>
    exchange.headers.has(header) ? undefined : { code: 'invalid_request', detail: `The header ${header} is missing.` },
} satisfies Plugin<{ header: string }>
