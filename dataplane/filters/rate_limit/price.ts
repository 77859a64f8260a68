import type { Cost, CostFacts } from '../../../table/expression.ts'
import type { Limit } from '../../../table/limits.ts'
import { ExchangeFacts } from '../../pipeline/facts.ts'
import { anonymous } from '../../pipeline/principal.ts'
import type { Subject } from './subject.ts'
import type { Spent } from './watch.ts'

/** Tokens that an answer is taken to have where its request sets no bound and none has been seen yet. */
const ANSWER_TOKENS = 256
/** So many requests whose reservation is a guess find room in an untouched budget, however small it is. */
const GUESSES = 8
const TOKEN_BYTES = 4

/** What a limit takes for a request. */
export type Price = Readonly<{
  /**
   * Before the call, on the high side. Where it rests on a guess it is a part of what there is at most: a request that
   * says nothing of its size must not be refused for ever. Undefined: it cannot be told.
   */
  reserve(subject: Subject): number | undefined
  /** After it. Undefined: it cannot be told, and what was reserved holds. */
  settle(subject: Subject, spent: Spent): number | undefined
}>

export function priceOf(limit: Limit, cost: Cost | undefined): Price {
  const guessMax = Math.ceil((limit.amount + (limit.algorithm.type === 'TokenBucket' ? limit.algorithm.burst : 0)) / GUESSES)
  return limit.unit === 'tokens' ? tokenPrice(guessMax) : costPrice(cost, guessMax, limit.cost ?? '')
}

/** What was seen lately of what nobody knows beforehand: the most, slowly forgotten. */
function createRecent(most: number): Readonly<{ guess(): number; saw(value: number): void }> {
  return {
    guess: () => most,
    saw(value) { most = Math.max(value, most * 0.98) },
  }
}

function tokenPrice(guessMax: number): Price {
  const answers = createRecent(ANSWER_TOKENS)
  return {
    reserve({ demand, requestBytes }) {
      if (demand === undefined) return Math.min(Math.ceil(requestBytes / TOKEN_BYTES), guessMax)
      const { inputTokens, maxTokens } = demand
      return maxTokens === undefined ? Math.min(inputTokens + Math.ceil(answers.guess()), guessMax) : inputTokens + maxTokens
    },
    settle({ demand }, { inputTokens, outputTokens }) {
      if (demand?.maxTokens === undefined) answers.saw(outputTokens)
      return inputTokens + outputTokens
    },
  }
}

function costPrice(cost: Cost | undefined, guessMax: number, source: string): Price {
  const seconds = createRecent(0)
  const bytes = createRecent(0)
  const answers = createRecent(ANSWER_TOKENS)
  const ofAnswer = /\b(?:backendSeconds|responseBytes|response|usage)\b/.test(source)
  const ofTokens = /\b(?:outputTokens|maxTokens|usage)\b/.test(source)
  return {
    reserve(subject) {
      const guess = { responseBytes: bytes.guess(), outputTokens: subject.demand?.maxTokens ?? answers.guess(), backendSeconds: seconds.guess() }
      const units = cost?.of(factsOf(subject, guess))
      if (units === undefined) return undefined
      const guessed = ofAnswer || (ofTokens && subject.demand?.maxTokens === undefined)
      return guessed ? Math.min(units, guessMax) : units
    },
    settle(subject, spent) {
      seconds.saw(spent.backendSeconds)
      bytes.saw(spent.responseBytes)
      if (subject.demand?.maxTokens === undefined) answers.saw(spent.outputTokens)
      return cost?.of(factsOf(subject, spent))
    },
  }
}

function factsOf(subject: Subject, spent: Partial<Spent> & Omit<Spent, 'inputTokens'>): CostFacts {
  const { exchange, model, demand, requestBytes } = subject
  return {
    request: new ExchangeFacts(exchange, model),
    principal: exchange.principal ?? anonymous,
    response: { status: exchange.response.statusCode, bytes: spent.responseBytes },
    usage: {
      rows: demand?.rows ?? 1,
      tensorElements: demand?.tensorElements ?? 0,
      requestBytes: Math.max(exchange.bytesIn, requestBytes),
      responseBytes: spent.responseBytes,
      inputTokens: spent.inputTokens ?? demand?.inputTokens ?? Math.ceil(requestBytes / TOKEN_BYTES),
      outputTokens: spent.outputTokens,
      maxTokens: demand?.maxTokens ?? spent.outputTokens,
      backendSeconds: spent.backendSeconds,
    },
  }
}
