import type { Cost, CostFacts } from '../../../table/expression.ts'
import type { Limit } from '../../../table/limits.ts'
import { ExchangeFacts } from '../../pipeline/facts.ts'
import { anonymous } from '../../pipeline/principal.ts'
import type { Subject } from '../../metering/subject.ts'
import type { Spent } from '../../metering/watch.ts'

/** Tokens that an answer is taken to have where its request sets no bound and none has been seen yet. */
const ANSWER_TOKENS = 256
/** So many requests whose answer has no bound find room in an untouched limit, however small it is. */
const GUESSES = 8
const TOKEN_BYTES = 4
/** What a prompt may have beyond what those before it had. */
const MARGIN = 1.1

/** What a limit takes for a request. */
export type Price = Readonly<{
  /**
   * Before the call, on the high side. A request that can do with what there is at most is not refused for ever, because
   * of what is only guessed of it. Undefined: it cannot be told.
   */
  reserve(subject: Subject): number | undefined
  /** After it. Undefined: it cannot be told, and what was reserved holds. */
  settle(subject: Subject, spent: Spent): number | undefined
}>

export function priceOf(limit: Limit, cost: Cost | undefined): Price {
  const capacity = limit.amount + (limit.algorithm.type === 'TokenBucket' ? limit.algorithm.burst : 0)
  return limit.unit === 'tokens' ? tokenPrice(capacity) : costPrice(cost, capacity, limit.cost ?? '')
}

/** The most that was seen in the last requests, of what nobody knows beforehand. */
function createRecent(first: number): Readonly<{ guess(): number; saw(value: number): void }> {
  const seen: number[] = []
  return {
    guess: () => (seen.length === 0 ? first : Math.max(...seen)),
    saw(value) {
      if (seen.push(value) > 16) seen.shift()
    },
  }
}

/** How many tokens prompts and answers have: at first a token for each byte of the prompt, then as recent ones had. */
function createTokens() {
  const share = createRecent(1)
  const answers = createRecent(ANSWER_TOKENS)
  return {
    input: ({ demand, requestBytes }: Subject) => Math.ceil(demand === undefined ? requestBytes / TOKEN_BYTES : demand.inputTokens * Math.min(1, share.guess() * MARGIN)),
    answer: () => answers.guess(),
    saw({ demand }: Subject, { told, inputTokens, outputTokens }: Spent) {
      if (told && demand !== undefined && demand.inputTokens > 0) share.saw(inputTokens / demand.inputTokens)
      if (demand?.maxTokens === undefined) answers.saw(outputTokens)
    },
  }
}

function tokenPrice(capacity: number): Price {
  const tokens = createTokens()
  return {
    reserve(subject) {
      const { demand } = subject
      const input = tokens.input(subject)
      if (demand?.maxTokens === undefined) return Math.min(input + Math.min(demand === undefined ? 0 : tokens.answer(), Math.ceil(capacity / GUESSES)), capacity)
      const least = demand.inputTokens / TOKEN_BYTES + demand.maxTokens
      return least > capacity ? least : Math.min(input + demand.maxTokens, capacity)
    },
    settle(subject, spent) {
      tokens.saw(subject, spent)
      return spent.inputTokens + spent.outputTokens
    },
  }
}

function costPrice(cost: Cost | undefined, capacity: number, source: string): Price {
  const tokens = createTokens()
  const seconds = createRecent(0)
  const bytes = createRecent(0)
  const ofAnswer = /\b(?:backendSeconds|responseBytes|response|usage|inputTokens)\b/.test(source)
  const ofTokens = /\b(?:outputTokens|maxTokens|usage)\b/.test(source)
  return {
    reserve(subject) {
      const outputTokens = subject.demand?.maxTokens ?? tokens.answer()
      const guess = { inputTokens: tokens.input(subject), outputTokens, responseBytes: bytes.guess(), backendSeconds: seconds.guess() }
      const units = cost?.of(factsOf(subject, guess))
      const guessed = ofAnswer || (ofTokens && subject.demand?.maxTokens === undefined)
      return units === undefined || !guessed ? units : Math.min(units, capacity)
    },
    settle(subject, spent) {
      tokens.saw(subject, spent)
      seconds.saw(spent.backendSeconds)
      bytes.saw(spent.responseBytes)
      return cost?.of(factsOf(subject, spent))
    },
  }
}

function factsOf(subject: Subject, spent: Omit<Spent, 'told'>): CostFacts {
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
      inputTokens: spent.inputTokens,
      outputTokens: spent.outputTokens,
      maxTokens: demand?.maxTokens ?? spent.outputTokens,
      backendSeconds: spent.backendSeconds,
    },
  }
}
