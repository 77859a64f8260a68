import { STATUS_CODES } from '../http.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { textOf } from '../prices/amount.ts'
import { chargeOf } from '../prices/charge.ts'
import type { PriceList } from '../prices/list.ts'
import type { Tally } from '../portal/tally.ts'
import type { Audit } from './audit.ts'
import type { Callers } from './callers.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { Log } from './log.ts'
import { milliseconds, numberMember, quotable, rememberedText, ruleMembers, textMember, toldAgain, traceMember, variantMembers, type Members, type Told } from './members.ts'
import { modelTold } from './ledger/record.ts'
import type { Series, SeriesSet } from './series.ts'

export type Recorder = Readonly<{
  /** Called once for each request, when its answer is over or its connection gone: metrics, ledger and log are told the same. */
  record(exchange: Exchange, status: number): void
  /** Calls back once what was recorded is safe: the last byte of an answer waits for that. Undefined: nothing need wait. */
  hold?: Ledger['hold'] | undefined
}>

type Deps = Readonly<{ log: Log; series: SeriesSet; audit: Audit; callers: Callers; tally?: Tally | undefined; ledger?: Ledger | undefined; prices?: PriceList | undefined }>

export function createRecorder({ log, series, audit, callers, tally, ledger, prices }: Deps): Recorder {
  const unmatched = series.get({ route: '', rule: '', variant: '', model: '', model_version: '' })
  return {
    hold: ledger?.hold,
    record(exchange, status) {
      const endedAt = performance.now()
      const counted = exchange.series ?? unmatched
      counted.count(status in STATUS_CODES || status === 499 ? status : 0, exchange.error)
      // A trace that nobody keeps is no example.
      const trace = exchange.trace?.sampled === true ? exchange.trace.id : undefined
      counted.request.observe((endedAt - exchange.startedAt) / 1000, trace)
      if (exchange.upstreamStartedAt > 0) {
        const upstreamEnd = exchange.upstreamEndedAt || endedAt
        counted.upstream.observe((upstreamEnd - exchange.upstreamStartedAt) / 1000, trace)
        if (exchange.firstByteAt > 0) counted.firstByte.observe((exchange.firstByteAt - exchange.startedAt) / 1000, trace)
      }
      if (exchange.cached !== undefined) counted.cached(exchange.cached.result)
      if (exchange.batched !== undefined) counted.batched(exchange.batched.result)
      if (status >= 400) exchange.rows = undefined
      if (exchange.used !== undefined) counted.countTokens(exchange.used)
      if (exchange.rows !== undefined) counted.countRows(exchange.rows)
      if (prices !== undefined) charge(exchange, status, counted, prices)
      else if (exchange.cost !== undefined) {
        counted.countCost(exchange.cost)
        exchange.charged = String(exchange.cost)
      }
      exchange.spans?.end(exchange, status, endedAt)
      callers.ended(exchange)
      tally?.count(exchange, status)
      audit.record(exchange, status, endedAt)
      const logged = log.enabled('info')
      const members = ledger === undefined ? '' : ledger.record(exchange, status, logged)
      if (logged) log.write('info', 'request', accessMembers(exchange, status, endedAt) + members)
    },
  }
}

/** By the list: the same for metrics, ledger and log. */
function charge(exchange: Exchange, status: number, counted: Series, prices: PriceList): void {
  const { rule, variant, principal, used, rows, cached, response } = exchange
  const amount = chargeOf(prices, {
    time: Date.now(), route: rule?.route, variant: variant?.name, model: modelTold(exchange), consumer: principal?.consumer || undefined, tier: principal?.tier,
    status, tokens: used, rows, percent: Math.round((cached?.billed ?? 1) * 100), grpcStatus: response.grpcStatus,
  })
  if (amount === undefined) return
  counted.charge(amount)
  exchange.charged = textOf(amount)
}

/** The path without its query: keys and prompts travel there. */
function accessMembers(exchange: Exchange, status: number, endedAt: number): Members {
  const { error, cause, firstByteAt, startedAt, response, endpoint, tableVersion } = exchange
  return `,"request_id":"${exchange.requestId}"${traceMember(exchange)}${askedMembers(exchange)}${endpoint === '' ? '' : endpointMember(endpoint)}`
    + (exchange.tries > 1 || exchange.fallback !== undefined || exchange.cached !== undefined || exchange.batched !== undefined || exchange.steps !== undefined ? wayMembers(exchange) : '')
    + (error === undefined && response.grpcStatus === undefined && cause === '' && exchange.mismatch === undefined ? `,"status":${status}`
      : `,"status":${status}${numberMember('grpc_status', response.grpcStatus)}${textMember('code', error)}${textMember('cause', cause || undefined)}${textMember('response_mismatch', exchange.mismatch)}`)
    + `,"duration_ms":${milliseconds(endedAt - startedAt)}${firstByteAt > 0 ? `,"first_byte_ms":${milliseconds(firstByteAt - startedAt)}` : ''}`
    + `,"bytes_in":${exchange.bytesIn},"bytes_out":${exchange.bytesOut}${tableMember(tableVersion)}`
}

const endpointMember = rememberedText('endpoint')
const tableMember = rememberedText('table')

/** What was asked for last of a variant, or of a rule without one: requests that come one after the other are mostly alike. */
type Asked = Pick<Exchange, 'method' | 'host' | 'path'> & Told
const lastAsked = new WeakMap<BuiltVariant | BuiltRule, Asked>()
/** Characters of what is kept to be told again. */
const keptMax = 1024

function askedMembers({ method, host, path, rule, variant }: Exchange): Members {
  const of = variant ?? rule
  const last = of && lastAsked.get(of)
  if (last !== undefined && last.path === path && last.host === host && last.method === method) return toldAgain(last)
  const members = `,"method":"${quotable(method)}","host":"${quotable(host)}","path":"${quotable(path)}"${ruleMembers(rule)}${variantMembers(variant)}`
  if (of !== undefined && members.length <= keptMax) lastAsked.set(of, { method, host, path, members, again: false })
  return members
}

/** What came between, which most requests have nothing of. */
const wayMembers = (exchange: Exchange): Members =>
  numberMember('tries', exchange.tries > 1 ? exchange.tries : undefined) + textMember('fallback', exchange.fallback)
  + cacheMembers(exchange) + batchMembers(exchange) + stepMembers(exchange.steps)

/** What the cache had to do with it: which of its answers it is, or why it was none. */
function cacheMembers({ cached }: Exchange): Members {
  return cached === undefined ? '' : `,"cache":"${cached.result}"${numberMember('age', cached.age)}${numberMember('similarity', cached.similarity)}${textMember('cache_why', cached.why)}`
}

/** The call that it was a part of, or why it was none. */
function batchMembers({ batched }: Exchange): Members {
  if (batched === undefined) return ''
  const { result, why, id, requests, rows, waited } = batched
  return `,"batch":"${result}"${textMember('batch_why', why)}${textMember('batch_id', result === 'alone' ? undefined : id)}`
    + `${numberMember('batch_requests', requests)}${numberMember('batch_rows', rows)}${waited === undefined ? '' : `,"batch_wait_ms":${milliseconds(waited)}`}`
}

/** What became of each step of a composition; `ms`: of its backends. */
function stepMembers(steps: Exchange['steps']): Members {
  if (steps === undefined) return ''
  const told = steps.map(({ name, result, status, calls, seconds, why }) =>
    `{"step":"${quotable(name)}","result":"${result}"${numberMember('status', status || undefined)}${numberMember('calls', calls > 1 ? calls : undefined)}`
    + `${calls > 0 ? `,"ms":${milliseconds(seconds * 1000)}` : ''}${textMember('why', why)}}`)
  return `,"steps":[${told.join(',')}]`
}
