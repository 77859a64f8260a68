import type { Exchange } from '../pipeline/exchange.ts'
import { removeHeader } from '../pipeline/headers.ts'
import { eventsIn, withoutUsageChunk } from '../protocols/sse.ts'
import { UsageReader, type TokenUsage } from '../protocols/usage.ts'
import type { Subject } from './subject.ts'

/** Bytes of text for a token, where nothing better is known. */
const TOKEN_BYTES = 4

/** What a request came to; undefined where the caller got nothing for it. */
export type Spent = Readonly<TokenUsage & {
  /** The backend said how many tokens it were, and they are no estimate. */
  told: boolean
  responseBytes: number
  backendSeconds: number
}>

/** Watches an answer for what its request came to. */
export type Watch = Readonly<{ spent(): Spent | undefined }>

/** @param usage whether the tokens matter, and not only the time and the bytes */
export function watch({ exchange, demand, requestBytes }: Subject, usage: boolean): Watch {
  const reader = usage ? new UsageReader() : undefined
  let events = 0
  let streams = false
  let status = 0
  if (reader !== undefined) {
    exchange.countsTokens = true
    const strip = askForUsage(exchange)
    // A compressed answer would have to be unpacked to be read.
    identityOnly(exchange)
    ;(exchange.headTaps ??= []).push((code, headers) => {
      if (exchange.error === undefined) status = code
      const at = headers.indexOf('content-type')
      streams = at % 2 === 0 && headers[at + 1]?.startsWith('text/event-stream') === true
      if (!strip || !streams || code >= 300) return
      exchange.rewrite = withoutUsageChunk()
      removeHeader(headers, 'content-length')
    })
    ;(exchange.dataTaps ??= []).push((chunk) => {
      reader.push(chunk)
      if (streams) events += eventsIn(chunk)
    })
  } else (exchange.headTaps ??= []).push((code) => { if (exchange.error === undefined) status = code })

  return {
    spent() {
      const { upstreamStartedAt, upstreamEndedAt, bytesOut, error, batched } = exchange
      // Of a call for several requests each pays its part.
      const share = batched?.result === 'joined' ? batched.share ?? 1 : 1
      const answered = status > 0 && status < 400
      const abandoned = status === 0 && error === 'client_closed' && upstreamStartedAt > 0
      if (!answered && !abandoned) return undefined
      const backendSeconds = exchange.steps !== undefined ? exchange.steps.reduce((sum, { seconds }) => sum + seconds, 0)
        : upstreamStartedAt === 0 ? exchange.cached?.backendSeconds ?? 0 : ((upstreamEndedAt || performance.now()) - upstreamStartedAt) / 1000 * share
      // What was translated may have lost it on the way: a caller who did not ask is not told.
      const { usage: translated, pieces = 0 } = exchange.generated ?? {}
      const told = reader && (translated ?? reader.usage())
      if (told !== undefined) return { ...told, told: true, responseBytes: bytesOut, backendSeconds }
      // Each event of a stream has a token, but for the first and the last.
      const written = pieces > 0 ? pieces : streams ? Math.max(0, events - 2) : Math.ceil(bytesOut / TOKEN_BYTES)
      return {
        told: false,
        inputTokens: Math.ceil((demand?.inputTokens ?? (exchange.bytesIn || requestBytes)) / TOKEN_BYTES),
        outputTokens: demand?.maxTokens === 0 ? 0 : written,
        responseBytes: bytesOut,
        backendSeconds,
      }
    },
  }
}

function identityOnly({ received: { headers } }: Exchange): void {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === 'accept-encoding') headers[i + 1] = 'identity'
}

/**
 * A stream of the OpenAI API says what it took only when it is asked to. Where the caller did not ask, we do.
 * @returns whether the answer to that is to be kept from the caller
 */
function askForUsage(exchange: Exchange): boolean {
  const { members, body, path } = exchange
  if (members === undefined || body === undefined || !/\/v1\/(?:chat\/)?completions$/.test(path)) return false
  if (members.value('stream') !== true) return false
  const options = members.value('stream_options')
  const given = typeof options === 'object' && options !== null && !Array.isArray(options) ? options : {}
  if (Reflect.get(given, 'include_usage') === true) return false
  const text = JSON.stringify({ ...given, include_usage: true })
  const place = members.place('stream_options')
  const start = body.indexOf('{') + 1
  exchange.body = place === undefined
    ? Buffer.concat([body.subarray(0, start), Buffer.from(`"stream_options":${text},`), body.subarray(start)])
    : Buffer.concat([body.subarray(0, place[0]), Buffer.from(text), body.subarray(place[1])])
  return true
}

/** Of an answer that was given again, what is billed of the tokens that it took at first. */
export function billedPart({ inputTokens, outputTokens, cachedTokens }: TokenUsage, billed: number): TokenUsage {
  if (billed === 1) return { inputTokens, outputTokens, cachedTokens }
  const part = (tokens: number) => Math.round(tokens * billed)
  return { inputTokens: part(inputTokens), outputTokens: part(outputTokens), ...(cachedTokens !== undefined && { cachedTokens: part(cachedTokens) }) }
}
