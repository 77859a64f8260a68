import { errors, failure, type ErrorCode, type Failure } from '../pipeline/errors.ts'
import { nameAsked } from '../pipeline/asked.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { Principal } from '../pipeline/principal.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import type { Named } from '../protocols/scan/scan.ts'
import { openAuditFile } from './audit_file.ts'
import { keptMembers, type Kept } from './kept.ts'
import { createLines } from './lines.ts'
import type { Log } from './log.ts'
import { milliseconds, numberMember, quotable, remembered, ruleMembers, textMember, timestamp, traceMember, variantMembers, type Members } from './members.ts'

/**
 * Who was let do what. One record for each request of a rule that asks who calls, or says `logging.audit`; with a file
 * of its own, for every request that could be read.
 */
export type Audit = Readonly<{
  /** For all that was not committed, when it is over. */
  record(exchange: Exchange, status: number, endedAt: number): void
  /** `Strict`: before an answer with this status goes out. Undefined once the record is on disk. Never rejects. */
  commit: Commit
  /** The last write failed: what may not go unrecorded is refused before a backend is asked. */
  failing(): boolean
  close(): Promise<void>
}>

export type Commit = (exchange: Exchange, status: number) => Promise<Failure | undefined>

export const unavailable: Failure = failure('audit_unavailable', 'The request cannot be recorded at present, and so is not served.')

/** Where nothing records, nothing is served that must be recorded. */
export const unaudited: Pick<Audit, 'commit' | 'failing'> = { commit: () => Promise.resolve(unavailable), failing: () => true }

export type AuditOptions = Readonly<{
  /** Without it the records go between the lines of the log. */
  file?: string | undefined
  log: Log
  bytesMax?: number
  /** What records have beside. */
  kept?: Kept | undefined
}>

export async function openAudit({ file, log, bytesMax, kept }: AuditOptions): Promise<Audit> {
  let failing = false
  function ended(error: Error | undefined): void {
    if (error && !failing) log.write('error', 'audit: cannot write', { file, why: error.message })
    if (!error && failing) log.write('info', 'audit: writing again', { file })
    failing = error !== undefined
  }
  const sink = file === undefined ? undefined : await openAuditFile(file, bytesMax)
  const line = (members: Members) => `{"time":"${timestamp(Date.now())}","msg":"audit"${members}}\n`
  const lines = sink && createLines({
    sink,
    onWritten: ended,
    notice: (dropped) => {
      log.write('warn', 'audit: records dropped', { dropped })
      return line(`,"dropped":${dropped}`)
    },
  })
  // What logrotate sends once it has moved a file away.
  const reopen = () => sink?.reopen()
  if (sink) process.on('SIGHUP', reopen)
  const committed = new WeakSet<Exchange>()
  const more = kept && keptMembers(kept)

  return {
    record(exchange, status, endedAt) {
      if (lines === undefined && exchange.rule?.audited === undefined && exchange.principal === undefined && exchange.error !== 'unauthenticated') return
      if (committed.has(exchange)) return
      const members = recordOf(exchange, status, endedAt, more)
      if (lines === undefined) log.announce('audit', members)
      else lines.hold(line(members))
    },
    async commit(exchange, status) {
      const members = recordOf(exchange, status, performance.now(), more)
      const settled = await (lines === undefined ? log.settle('audit', members) : lines.settle(line(members)))
      if (lines === undefined) failing = !settled
      if (!settled) return unavailable
      committed.add(exchange)
      return undefined
    },
    failing: () => failing,
    async close() {
      process.off('SIGHUP', reopen)
      await lines?.flush()
      await sink?.close()
    },
  }
}

/** Refused, and not merely failed: by what the caller may, by their limits, or because nobody could tell. */
function denies(code: ErrorCode | undefined): boolean {
  if (code === undefined || code === 'client_closed') return false
  return errors[code].status < 500 || code === 'auth_unavailable' || code === 'limit_store_unavailable' || code === 'audit_unavailable'
}

const callerMembers = remembered(({ consumer, groups, tier, via, credential }: Principal) =>
  textMember('consumer', consumer || undefined)
  + (groups.length > 0 ? `,"groups":${JSON.stringify(groups)}` : '')
  + textMember('tier', tier) + textMember('via', via) + textMember('credential', credential))

/** What records of requests that come alike have in common, as it was told last of a variant, or of a rule without one. */
type Told = Pick<Exchange, 'asked' | 'clientAddress' | 'principal' | 'method' | 'host' | 'path' | 'modelVersion'> & Readonly<{ named: Named | undefined; members: Members }>
const told = new WeakMap<BuiltVariant | BuiltRule, Told>()

function toldOf(exchange: Exchange): Members {
  const { rule, variant } = exchange
  const of = variant ?? rule
  const last = of && told.get(of)
  return last !== undefined && isAlike(last, exchange) ? last.members : tell(exchange, of)
}

function isAlike(last: Told, exchange: Exchange): boolean {
  const { asked, clientAddress, principal, method, host, path, modelVersion } = exchange
  // Of one path it is one object; what a body or a header names is told anew.
  return last.principal === principal && last.asked === asked && last.modelVersion === modelVersion && last.path === path
    && last.clientAddress === clientAddress && last.method === method && last.host === host && last.named === exchange.model()
}

function tell(exchange: Exchange, of: BuiltVariant | BuiltRule | undefined): Members {
  const { asked, clientAddress, principal, method, host, path, modelVersion, rule, variant } = exchange
  const named = exchange.model()
  const members = `,"client":"${quotable(clientAddress)}"${callerMembers(principal)}`
    + `,"method":"${quotable(method)}"${textMember('host', host || undefined)},"path":"${quotable(bounded(path))}"`
    + ruleMembers(rule) + variantMembers(variant) + textMember('model', bounded(named?.name ?? nameAsked(exchange)))
    + textMember('model_version', bounded(modelVersion ?? named?.version))
  if (of !== undefined && members.length <= keptMax) told.set(of, { asked, clientAddress, principal, method, host, path, modelVersion, named, members })
  return members
}

/** Every field there is: what is not named here is in no record. The path is without its query, where keys travel. */
function recordOf(exchange: Exchange, status: number, at: number, more: ((exchange: Exchange) => Members) | undefined): Members {
  const { error, cause } = exchange
  return `,"request_id":"${exchange.requestId}"${traceMember(exchange)}${toldOf(exchange)}`
    + (denies(error) ? ',"outcome":"denied"' : ',"outcome":"allowed"') + textMember('code', error) + textMember('cause', bounded(cause || undefined))
    + textMember('cache', exchange.cached?.result) + stepsAsked(exchange)
    + textMember('fallback', exchange.fallback) + numberMember('bucket', exchange.bucket) + (more?.(exchange) ?? '')
    + `,"status":${status},"latency_ms":${milliseconds(at - exchange.startedAt)}`
}

/** Of a composition, whom it called. */
function stepsAsked({ steps }: Exchange): Members {
  return steps === undefined ? '' : `,"steps":${JSON.stringify(steps.flatMap(({ name, calls }) => (calls > 0 ? [name] : [])))}`
}

/** Characters of what is kept to be told again. */
const keptMax = 1024
const textMax = 1024

/** What callers choose the length of. */
function bounded<Text extends string | undefined>(text: Text): string | Text {
  return text !== undefined && text.length > textMax ? `${text.slice(0, textMax)}…` : text
}
