/** Tokens that a backend says a request took. */
export type TokenUsage = Readonly<{ inputTokens: number; outputTokens: number }>

/** As much of an answer's end, and of its beginning, as is looked through. Bytes. */
const tailMax = 64 * 1024
const headMax = 16 * 1024

/**
 * `"usage": {…}` with at most one level of objects in it. In a string a quote is escaped, so what a model writes cannot
 * look like it; and no part of the pattern can match a text in two ways, so it takes linear time.
 */
const usagePattern = /(?<!\\)"usage"\s*:\s*(\{[^{}]{0,4096}(?:\{[^{}]{0,4096}\}[^{}]{0,4096}){0,8}\})/g
/** Triton's generate endpoints, where the backend is asked for it (`return_num_output_tokens`). */
const counts = [/(?<!\\)"num_input_tokens"\s*:\s*(\d{1,15})/, /(?<!\\)"num_output_tokens"\s*:\s*(\d{1,15})/] as const

/**
 * Finds what an answer says of its usage, JSON or server-sent events alike, in the pieces in which it comes: it keeps the
 * beginning and the end, which is where servers put it, and builds nothing else.
 */
export class UsageReader {
  #head: Buffer[] = []
  #headSize = 0
  #tail: Buffer[] = []
  #tailSize = 0

  push(chunk: Buffer): void {
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
    return lastUsage(tail) ?? lastUsage(Buffer.concat(this.#head).toString('latin1'))
  }
}

function lastUsage(text: string): TokenUsage | undefined {
  let found: TokenUsage | undefined
  for (const [, object = ''] of text.matchAll(usagePattern)) found = read(object) ?? found
  if (found !== undefined) return found
  const [input, output] = counts.map((pattern) => pattern.exec(text)?.[1])
  return output === undefined ? undefined : { inputTokens: Number(input ?? 0), outputTokens: Number(output) }
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
  // Some servers tell only the sum of what an embedding took.
  return { inputTokens: inputTokens ?? 0, outputTokens: outputTokens ?? 0 }
}
