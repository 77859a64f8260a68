import type { RequestFacts } from '../../table/expression.ts'
import type { Exchange } from './exchange.ts'

/** What expressions see of a request; worked out when one asks for it. */
export class ExchangeFacts implements RequestFacts {
  readonly #exchange: Exchange
  /** The model that the request names, where that has been found out; else the one in its path. */
  readonly model: string

  constructor(exchange: Exchange, model = exchange.model()?.name ?? '') {
    this.#exchange = exchange
    this.model = model
  }

  get method(): string {
    return this.#exchange.method
  }

  get path(): string {
    return this.#exchange.path
  }

  get host(): string {
    return this.#exchange.host
  }

  /** Of one that occurs more than once, the list (RFC 9110 section 5.3). */
  get headers(): ReadonlyMap<string, string> {
    const { headers } = this.#exchange.received
    const found = new Map<string, string>()
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? ''
      const value = headers[i + 1] ?? ''
      const before = found.get(name)
      found.set(name, before === undefined ? value : `${before},${value}`)
    }
    return found
  }

  get query(): ReadonlyMap<string, string> {
    const found = new Map<string, string>()
    for (const [name, value] of new URLSearchParams(this.#exchange.received.query)) if (!found.has(name)) found.set(name, value)
    return found
  }
}
