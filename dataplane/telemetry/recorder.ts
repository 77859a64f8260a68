import { STATUS_CODES } from 'node:http'
import type { Exchange } from '../pipeline/exchange.ts'
import type { Tally } from '../portal/tally.ts'
import type { Audit } from './audit.ts'
import type { Log } from './log.ts'
import { milliseconds, numberMember, quotable, ruleMembers, textMember, variantMembers, type Members } from './members.ts'
import type { SeriesSet } from './series.ts'

/** Called once for each request, when its last byte is out or its connection gone. */
export type Recorder = Readonly<{ record(exchange: Exchange, status: number): void }>

export function createRecorder({ log, series, audit, tally }: { log: Log; series: SeriesSet; audit: Audit; tally?: Tally | undefined }): Recorder {
  const unmatched = series.get({ route: '', rule: '', variant: '', model: '', model_version: '' })
  return {
    record(exchange, status) {
      const endedAt = performance.now()
      const counted = exchange.series ?? unmatched
      counted.count(status in STATUS_CODES || status === 499 ? status : 0, exchange.error)
      counted.request.observe((endedAt - exchange.startedAt) / 1000)
      if (exchange.upstreamStartedAt > 0) {
        const upstreamEnd = exchange.upstreamEndedAt || endedAt
        counted.upstream.observe((upstreamEnd - exchange.upstreamStartedAt) / 1000)
        if (exchange.firstByteAt > 0) counted.firstByte.observe((exchange.firstByteAt - exchange.startedAt) / 1000)
      }
      if (exchange.cached !== undefined) counted.cached(exchange.cached.result)
      tally?.count(exchange, status)
      audit.record(exchange, status, endedAt)
      if (log.enabled('info')) log.write('info', 'request', accessMembers(exchange, status, endedAt))
    },
  }
}

/** The path without its query: keys and prompts travel there. */
function accessMembers(exchange: Exchange, status: number, endedAt: number): Members {
  const { rule, variant, error, cause, firstByteAt, startedAt, response, endpoint } = exchange
  return `,"request_id":"${quotable(exchange.requestId)}","method":"${quotable(exchange.method)}","host":"${quotable(exchange.host)}"`
    + `,"path":"${quotable(exchange.path)}"${ruleMembers(rule)}${variantMembers(variant)}${textMember('endpoint', endpoint || undefined)}`
    + numberMember('tries', exchange.tries > 1 ? exchange.tries : undefined) + textMember('fallback', exchange.fallback)
    + cacheMembers(exchange)
    + `,"status":${status}${numberMember('grpc_status', response.grpcStatus)}${textMember('code', error)}`
    + `${textMember('cause', cause || undefined)},"duration_ms":${milliseconds(endedAt - startedAt)}`
    + (firstByteAt > 0 ? `,"first_byte_ms":${milliseconds(firstByteAt - startedAt)}` : '')
    + `,"bytes_in":${exchange.bytesIn},"bytes_out":${exchange.bytesOut},"table":"${quotable(exchange.tableVersion)}"`
}

/** What the cache had to do with it: which of its answers it is, or why it was none. */
function cacheMembers({ cached }: Exchange): Members {
  return cached === undefined ? '' : `,"cache":"${cached.result}"${numberMember('age', cached.age)}${textMember('cache_why', cached.why)}`
}
