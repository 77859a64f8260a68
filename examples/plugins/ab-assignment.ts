import type { Plugin } from 'modelroute/plugin'

type Config = Readonly<{ url: string; experiment: string; header?: string; remember?: number }>

/** Callers whose assignment is remembered. */
const rememberMax = 10_000

/** Asks a service of yours which variant a caller gets, and says so to the client. Without an answer the weights decide. */
export default {
  name: 'ab-assignment',
  schema: {
    type: 'object',
    properties: {
      url: { type: 'string', pattern: '^https?://' },
      experiment: { type: 'string', minLength: 1 },
      header: { type: 'string', minLength: 1 },
      remember: { type: 'integer', minimum: 0, maximum: 86_400 },
    },
    required: ['url', 'experiment'],
    additionalProperties: false,
  },
  timeout: 300,
  onError: 'Skip',
  build({ config: { url, experiment, header = 'x-user', remember = 60 } }) {
    const known = new Map<string, { variant: string; until: number }>()
    return async (exchange) => {
      const user = exchange.headers.get(header) ?? exchange.principal?.consumer ?? ''
      if (user === '') return
      let assigned = known.get(user)
      if (assigned === undefined || assigned.until < Date.now()) {
        const asked = new URL(url)
        asked.searchParams.set('experiment', experiment)
        asked.searchParams.set('user', user)
        const answer = await fetch(asked, { signal: exchange.signal })
        if (!answer.ok) throw new Error(`the service answered ${answer.status}`)
        const said: unknown = await answer.json()
        if (typeof said !== 'object' || said === null || !('variant' in said)) throw new Error('the service named no variant')
        assigned = { variant: String(said.variant), until: Date.now() + remember * 1000 }
        if (known.size >= rememberMax) known.clear()
        known.set(user, assigned)
      }
      const { variant } = assigned
      exchange.chooseVariant(variant)
      exchange.headers.set('x-experiment', `${experiment}=${variant}`)
      exchange.onResponse((response) => { response.headers.set('x-experiment', `${experiment}=${variant}`) })
    }
  },
} satisfies Plugin<Config>
