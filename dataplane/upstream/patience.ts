import type { BuiltRule } from '../pipeline/rule.ts'
import { failure } from '../pipeline/errors.ts'
import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import { formatGrpcTimeout, grpcTimeout } from '../protocols/grpc.ts'

/** How long a request may take, by its rule and by what its caller says. All are `performance.now()`. */
export class Patience {
  /** By which all must be over, whatever the tries do. */
  limit: number
  /** Until which the caller of a gRPC method waits, also for a stream. */
  readonly #until: number
  /** Until which the caller waits for an answer to begin, or one that is not open-ended to end. */
  readonly #asked: number
  readonly #header: string | undefined
  readonly #tryMax: number
  /** The caller said something that cannot be understood. */
  readonly unreadable: boolean = false

  constructor({ timeouts, deadlineHeader }: Pick<BuiltRule, 'timeouts' | 'deadlineHeader'>, headers: FlatHeaders, grpc: boolean, startedAt: number) {
    const { request = Number.POSITIVE_INFINITY, backendRequest = Number.POSITIVE_INFINITY } = timeouts
    this.#until = grpc ? startedAt + (grpcTimeout(valueOf(headers, 'grpc-timeout')) ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY
    this.#asked = this.#until
    this.#tryMax = backendRequest
    if (deadlineHeader !== undefined) {
      const asked = readDeadline(valueOf(headers, deadlineHeader))
      if (asked === null) this.unreadable = true
      else if (asked !== undefined) {
        this.#header = deadlineHeader
        this.#asked = Math.min(this.#until, startedAt + asked)
      }
    }
    this.limit = Math.min(this.#asked, startedAt + request)
  }

  /** The answer is open-ended: it has met what it could meet with its head. */
  open(): void {
    this.limit = this.#until
  }

  callerGaveUp(now: number): boolean {
    return this.#asked <= now
  }

  /** The backend of a try is told what is left, where the caller said how long he waits. */
  tell(headers: FlatHeaders): void {
    if (this.#header === undefined && this.#until === Number.POSITIVE_INFINITY) return
    const now = performance.now()
    if (this.#until < Number.POSITIVE_INFINITY) {
      const at = headers.indexOf('grpc-timeout')
      if (at !== -1) headers[at + 1] = formatGrpcTimeout(this.#until - now)
    }
    if (this.#header !== undefined) shrinkDeadline(headers, this.#header, Math.min(this.limit - now, this.#tryMax))
  }
}

const units: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }

/**
 * Milliseconds that a caller gives a request in a header: seconds (`2`, `0.5`) or a Gateway API duration (`1m30s`,
 * `250ms`). Undefined where it says nothing, null where it cannot be read.
 */
function readDeadline(value: string | undefined): number | undefined | null {
  if (value === undefined) return undefined
  if (/^\d{1,9}(?:\.\d{1,9})?$/.test(value)) return Number(value) * 1000
  if (!/^(?:\d{1,5}(?:h|m|s|ms)){1,4}$/.test(value)) return null
  let total = 0
  for (const [, digits, unit = ''] of value.matchAll(/(\d{1,5})(ms|h|m|s)/g)) total += Number(digits) * (units[unit] ?? 0)
  return total
}

export const unreadable = failure('invalid_request', 'The deadline is neither seconds nor a duration such as 250ms or 1m30s.')

/** In the form that the caller chose. */
function shrinkDeadline(headers: FlatHeaders, name: string, left: number): void {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== name) continue
    const whole = Math.max(1, Math.floor(left))
    headers[i + 1] = /[a-z]$/.test(headers[i + 1] ?? '') ? durationOf(whole) : String(whole / 1000)
  }
}

/** At most five digits a unit (GEP-2257). */
const durationOf = (milliseconds: number) => milliseconds < 100_000 ? `${milliseconds}ms` : `${Math.floor(milliseconds / 1000)}s`
