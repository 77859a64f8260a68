/** Tokens that a backend says a request took. `cachedTokens`: of the input, what it had kept from before. */
export type TokenUsage = Readonly<{ inputTokens: number; outputTokens: number; cachedTokens?: number | undefined }>

/** As much of an answer's end, and of its beginning, as is looked through. Bytes. */
const tailMax = 64 * 1024
const headMax = 16 * 1024

/**
 * `"usage": {…}` with at most one level of objects in it. In a string a quote is escaped, so what a model writes cannot
 * look like it; and no part of the pattern can match a text in two ways, so it takes linear time.
 */
const usagePattern = /(?<!\\)"usage"\s*:\s*(\{[^{}]{0,4096}(?:\{[^{}]{0,4096}\}[^{}]{0,4096}){0,8}\})/g
/**
 * Triton's generate endpoints, where the backend is asked for it (`return_num_output_tokens`): each event of a stream says
 * it of itself alone. As with the usage, no text can look like it.
 */
const inputCount = /(?<=[^\\])"num_input_tokens"\s{0,4}:\s{0,4}\[?(\d{1,15})/
const outputCounts = /(?<=[^\\])"num_output_tokens"\s{0,4}:\s{0,4}\[?(\d{1,15})\D/g
const needle = 'num_output_tokens'
/** More than such a count has. Bytes. */
const countMax = 64

/**
 * Finds what an answer says of its usage, JSON or server-sent events alike, in the pieces in which it comes: it keeps the
 * beginning and the end, which is where servers put it, and builds nothing else.
 */
export class UsageReader {
  #head: Buffer[] = []
  #headSize = 0
  #tail: Buffer[] = []
  #tailSize = 0
  readonly #written = new Counts()

  push(chunk: Buffer): void {
    this.#written.push(chunk)
    if (this.#headSize < headMax) {
      this.#head.push(chunk.subarray(0, headMax - this.#headSize))
      this.#headSize += chunk.length
    }
    this.#tail.push(chunk)
    this.#tailSize += chunk.length
    while (this.#tail.length > 1 && this.#tailSize - (this.#tail[0]?.length ?? 0) >= tailMax) {
      this.#tailSize -= this.#tail.shift()?.length ?? 0
    }
  }

  /** The last that was said, if anything was. */
  usage(): TokenUsage | undefined {
    // latin1: only ASCII is looked for, and a character that was cut in two does no harm.
    const tail = Buffer.concat(this.#tail).subarray(-tailMax).toString('latin1')
    const head = Buffer.concat(this.#head).toString('latin1')
    const found = lastUsage(tail) ?? lastUsage(head)
    const { sum } = this.#written
    return found ?? (sum === undefined ? undefined : { inputTokens: Number((inputCount.exec(tail) ?? inputCount.exec(head))?.[1] ?? 0), outputTokens: sum })
  }
}

/** Adds up what the events of a stream say that they have, wherever its pieces are cut. */
class Counts {
  /** Undefined: none said anything. */
  sum: number | undefined
  /** The end of what came before, as far as it has not been counted. */
  #rest = ''

  push(chunk: Buffer): void {
    const seam = this.#rest + chunk.toString('latin1', 0, countMax)
    if (!seam.includes(needle) && !chunk.includes(needle)) {
      this.#rest = chunk.length < countMax ? seam.slice(-countMax) : chunk.toString('latin1', chunk.length - countMax)
      return
    }
    const text = this.#rest + chunk.toString('latin1')
    let end = 0
    for (const match of text.matchAll(outputCounts)) {
      this.sum = (this.sum ?? 0) + Number(match[1])
      end = match.index + match[0].length
    }
    this.#rest = text.slice(Math.max(end, text.length - countMax))
  }
}

function lastUsage(text: string): TokenUsage | undefined {
  let found: TokenUsage | undefined
  for (const [, object = ''] of text.matchAll(usagePattern)) found = read(object) ?? found
  return found
}

function read(text: string): TokenUsage | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const count = (...names: string[]): number | undefined => {
    const found = names.map((name) => Reflect.get(value, name) as unknown).find((one) => typeof one === 'number')
    return typeof found === 'number' && found >= 0 && Number.isFinite(found) ? found : undefined
  }
  const inputTokens = count('prompt_tokens', 'input_tokens')
  const outputTokens = count('completion_tokens', 'output_tokens')
  if (inputTokens === undefined && outputTokens === undefined) return undefined
  const details: unknown = Reflect.get(value, 'prompt_tokens_details') ?? Reflect.get(value, 'input_tokens_details')
  const cached: unknown = typeof details === 'object' && details !== null ? Reflect.get(details, 'cached_tokens') : undefined
  const cachedTokens = typeof cached === 'number' && cached > 0 && cached <= (inputTokens ?? 0) ? cached : undefined
  // Some servers tell only the sum of what an embedding took.
  return { inputTokens: inputTokens ?? 0, outputTokens: outputTokens ?? 0, ...(cachedTokens !== undefined && { cachedTokens }) }
}
