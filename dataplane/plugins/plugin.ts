import type { ErrorCode } from '../pipeline/errors.ts'

/**
 * What a plugin is written against: the interface of the gateway's own filters, as far as it can be had across a thread.
 * A plugin is an ES module whose default export is a `Plugin`.
 *
 *     import type { Plugin } from 'modelroute/plugin'
 *
 *     export default {
 *       name: 'my-filter',
 *       schema: { type: 'object', properties: { header: { type: 'string' } }, required: ['header'], additionalProperties: false },
 *       build: ({ config }) => (exchange) => {
 *         if (!exchange.headers.has(config.header)) return { code: 'forbidden', detail: `${config.header} is missing` }
 *       },
 *     } satisfies Plugin<{ header: string }>
 */
export type Plugin<Config = unknown> = Readonly<{
  /** What rules name it by; at most 63 characters of `a-z`, `0-9` and `-`. */
  name: string
  /** JSON Schema (2020-12) of `config`. A rule whose settings do not fit is refused. */
  schema: Readonly<Record<string, unknown>>
  /** Milliseconds for each call of the filter, and of what it registers; at most 30,000. Default: 1000. */
  timeout?: number
  /** What becomes of a request for which it fails: 500 `plugin_failed`, or on without it. Default: `Fail`. */
  onError?: 'Fail' | 'Skip'
  /** Runs once for each rule, and again when the plugin or the settings change. */
  build(rule: PluginRule<Config>): PluginFilter
}>

export type PluginRule<Config> = Readonly<{
  /** `namespace/name`. */
  route: string
  rule: string
  config: Config
}>

/** Undefined lets the request pass. */
export type PluginOutcome = PluginFailure | PluginAnswer | undefined | void

export type PluginFilter = (exchange: PluginExchange) => PluginOutcome | Promise<PluginOutcome>

/** Refuses the request, in the protocol of its caller. `detail` is for the caller. */
export type PluginFailure = Readonly<{ code: ErrorCode; detail: string }>

/** Answers in place of the backends. */
export type PluginAnswer = Readonly<{ status: number; headers?: Readonly<Record<string, string>>; body?: string | Uint8Array }>

/** One request, before its backend is chosen. */
export interface PluginExchange {
  readonly requestId: string
  readonly method: string
  readonly host: string
  readonly path: string
  /** With its `?`; empty where there is none. */
  readonly query: string
  readonly clientAddress: string
  /** Who calls; undefined where the rule does not ask. An anonymous one has no consumer. */
  readonly principal: Readonly<{ consumer: string; groups: readonly string[]; tier: string | undefined; scopes: readonly string[] }> | undefined
  /** The model that the path names. */
  readonly model: string | undefined
  /** Of the rule. */
  readonly variants: readonly string[]
  /** What the backend gets. What frames the message, the hop-by-hop ones and those of the gateway cannot be set. */
  readonly headers: Headers
  /** Aborted when the client is gone or the time is up. */
  readonly signal: AbortSignal
  /** The whole body, as far as the rule's limit allows. */
  readBody(): Promise<Buffer>
  /** Sends this in place of the body. */
  setBody(body: string | Uint8Array): void
  /** Sends the request to this variant, past the weights. */
  chooseVariant(name: string): void
  /**
   * Called with the backend's answer. With `body` it is gathered whole first, also where it is a stream, and may be
   * replaced; without it only its head is there.
   */
  onResponse(listener: (response: PluginResponse) => void | Promise<void>, options?: Readonly<{ body: boolean }>): void
}

export interface PluginResponse {
  readonly status: number
  /** What the client gets. The same ones cannot be set. */
  readonly headers: Headers
  /** Decoded; undefined where it was not asked for. */
  readonly body: Buffer | undefined
  setBody(body: string | Uint8Array): void
}
