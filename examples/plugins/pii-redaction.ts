import type { Plugin } from 'modelroute/plugin'

type Config = Readonly<{ kinds?: readonly (keyof typeof patterns)[]; answers?: boolean }>

/** Each takes time in proportion to the text: nothing in it can match in two ways. */
const patterns = {
  email: /[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+/g,
  iban: /\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b/g,
  card: /\b\d{4}(?:[ -]?\d{4}){2}[ -]?\d{1,7}\b/g,
  ssn: /\b\d{3}-\d{2}-\d{4}\b/g,
}

/** Puts placeholders for what tells who somebody is, before the model sees it; with `answers`, in what the model says too. */
export default {
  name: 'pii-redaction',
  schema: {
    type: 'object',
    properties: {
      kinds: { type: 'array', items: { enum: Object.keys(patterns) }, minItems: 1, uniqueItems: true },
      answers: { type: 'boolean' },
    },
    additionalProperties: false,
  },
  build({ config: { kinds = ['email', 'iban', 'card', 'ssn'], answers = false } }) {
    const redact = (text: string) => kinds.reduce((rest, kind) => rest.replace(patterns[kind], `[${kind}]`), text)
    return async (exchange) => {
      const body = (await exchange.readBody()).toString()
      const redacted = redactJson(body, redact)
      if (redacted !== body) exchange.setBody(redacted)
      if (!answers) return
      exchange.onResponse((response) => {
        const said = response.body?.toString() ?? ''
        const rest = redactJson(said, redact)
        if (rest !== said) response.setBody(rest)
      }, { body: true })
    }
  },
} satisfies Plugin<Config>

/** Strings only, so that numbers of a tensor are never taken for a card; every other character stays. */
function redactJson(text: string, redact: (text: string) => string): string {
  return text.replaceAll(/"(?:[^"\\]|\\.)*"/g, (literal) => {
    if (!literal.includes('\\')) return `"${redact(literal.slice(1, -1))}"`
    let value: unknown
    try {
      value = JSON.parse(literal)
    } catch {
      return literal
    }
    const plain = String(value)
    const next = redact(plain)
    return next === plain ? literal : JSON.stringify(next)
  })
}
