import type { PriceList } from '../../prices/list.ts'
import { lookAt, subjectAtHand, type Needs } from '../../metering/subject.ts'
import { billedPart, watch } from '../../metering/watch.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { namesModelInBody } from '../../protocols/openai.ts'
import { modelOf } from '../../protocols/path.ts'
import { UsageReader } from '../../protocols/usage.ts'
import type { Filter, Outcome } from '../filter.ts'

/**
 * Counts for the ledger what no limit has counted: tokens that an answer tells of, read as it passes; and, where a price
 * is for them, tokens and rows of every request, for which its body is read; and the model, which may be named there.
 */
export const usage: Filter = {
  name: 'usage',
  build({ route }, { metering }) {
    if (metering === undefined) return undefined
    const needs = needsOf(metering.prices, route.id)
    return function countUsage(exchange): Outcome | Promise<Outcome> {
      if (exchange.explaining !== undefined) return undefined
      // A limit counts all but the model, which it may have no use for.
      if (exchange.metered) return needs.model ? nameModel(exchange) : undefined
      const generates = isGenerating(exchange.path)
      if (generates && !needs.usage) listen(exchange)
      if (generates ? !needs.usage && !needs.rows : !needs.rows || modelOf(exchange.path) === undefined) return needs.model ? nameModel(exchange) : undefined
      return lookAt(exchange, { model: true, demand: true, size: generates, usage: generates }).then((subject) => {
        if ('code' in subject) return subject
        if (!generates || !needs.usage) return undefined
        const watched = watch(subject, true)
        exchange.onEnd(() => {
          const spent = watched.spent()
          if (spent !== undefined) exchange.used ??= billedPart(spent, exchange.cached?.billed ?? 1)
        })
        return undefined
      })
    }
  },
}

/** Rows and tokens that some price of this route is for, and whether some is for certain models. */
function needsOf(prices: PriceList | undefined, route: string): Pick<Needs, 'usage' | 'model'> & Readonly<{ rows: boolean }> {
  const all = prices?.prices.filter(({ routes }) => routes === undefined || routes.includes(route)) ?? []
  return {
    usage: all.some(({ units: { inputTokens, outputTokens, cachedInputTokens } }) => inputTokens !== undefined || outputTokens !== undefined || cachedInputTokens !== undefined),
    rows: all.some(({ units: { rows } }) => rows !== undefined),
    model: all.some(({ models }) => models !== undefined),
  }
}

const onlyModel: Needs = { model: true, demand: false, size: false, usage: false }

/** Looks for the model in the body, where it may be. */
function nameModel(exchange: Exchange): Promise<Outcome> | undefined {
  if (subjectAtHand(exchange, onlyModel) !== undefined) return undefined
  return lookAt(exchange, onlyModel).then((subject) => 'code' in subject ? subject : undefined)
}

/** The OpenAI API, and Triton's generate endpoints. */
const isGenerating = (path: string) => namesModelInBody(path) || modelOf(path)?.rest.startsWith('/generate') === true

/** Neither request nor answer is changed for it: what is packed, or a stream that was not asked for its usage, tells nothing. */
function listen(exchange: Exchange): void {
  const reader = new UsageReader()
  ;(exchange.dataTaps ??= []).push((chunk) => reader.push(chunk))
  exchange.onEnd(() => {
    const told = exchange.response.statusCode < 400 ? reader.usage() : undefined
    if (told !== undefined) exchange.used ??= billedPart(told, exchange.cached?.billed ?? 1)
  })
}
