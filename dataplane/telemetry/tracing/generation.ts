import type { Attributes } from '@opentelemetry/api'
import { nameAsked } from '../../pipeline/asked.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { UsageReader } from '../../protocols/usage.ts'

type Kind = Readonly<{ operation: 'chat' | 'text_completion' | 'embeddings'; provider: 'openai' | 'triton' }>

const openai = (operation: Kind['operation']): Kind => ({ operation, provider: 'openai' })
const kinds: readonly (readonly [RegExp, Kind])[] = [
  [/\/v1\/chat\/completions$/, openai('chat')],
  [/\/v1\/responses$/, openai('chat')],
  [/\/v1\/completions$/, openai('text_completion')],
  [/\/v1\/embeddings$/, openai('embeddings')],
  [/^\/v2\/models\/[^/]+(?:\/versions\/[^/]+)?\/generate(?:_stream)?$/, { operation: 'text_completion', provider: 'triton' }],
]

/** As much of an answer as is looked through for the model that it names. Bytes. */
const headMax = 4096
/** In a string a quote is escaped, so that no text can look like it. */
const modelPattern = /(?<!\\)"model"\s{0,4}:\s{0,4}"([^"\\]{1,128})"/

/** Sees what is said of a generation: OpenTelemetry's conventions for generative AI (gen_ai.*, in development). */
export class Generation {
  readonly kind: Kind
  readonly #usage = new UsageReader()
  #head = ''

  private constructor(kind: Kind) {
    this.kind = kind
  }

  /** Of a request that asks for one; undefined of any other. */
  static of({ method, path }: Exchange): Generation | undefined {
    if (method !== 'POST') return undefined
    const kind = kinds.find(([form]) => form.test(path))?.[1]
    return kind && new Generation(kind)
  }

  push(chunk: Buffer): void {
    this.#usage.push(chunk)
    if (this.#head.length < headMax) this.#head += chunk.toString('latin1', 0, headMax - this.#head.length)
  }

  /** An answer that was kept has taken no tokens. */
  attributes(exchange: Exchange): Attributes {
    const { generated, cached, variant } = exchange
    const { operation, provider } = this.kind
    const model = exchange.model()?.name ?? nameAsked(exchange) ?? variant?.model?.name
    const answered = modelPattern.exec(this.#head)?.[1]
    const kept = cached !== undefined && cached.result !== 'miss' && cached.result !== 'bypass'
    const usage = kept ? undefined : generated?.usage ?? this.#usage.usage()
    return {
      'gen_ai.operation.name': operation,
      'gen_ai.provider.name': provider,
      ...(model !== undefined && { 'gen_ai.request.model': model.slice(0, 256) }),
      ...(answered !== undefined && { 'gen_ai.response.model': answered }),
      ...(usage && { 'gen_ai.usage.input_tokens': usage.inputTokens, 'gen_ai.usage.output_tokens': usage.outputTokens }),
    }
  }
}
