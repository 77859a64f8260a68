import { isRecord, type Answer } from './api.ts'

/**
 * Why a list or a watch did not go on.
 * - absent: the server does not have the kind (404)
 * - denied: 401 or 403
 * - expired: the version we know is gone, or was never this server's: list again
 * - garbled: an event was unreadable, so one is missing: list again
 * - cut: the connection, or a short-lived watch: go on from the version we know
 */
export type Trouble = Readonly<{
  why: 'absent' | 'denied' | 'expired' | 'garbled' | 'cut'
  /** Of the server's answer; absent when it gave none. */
  status?: number
  message: string
}>

/** What an answer that is not the wanted one means. */
export function troubleOf(answer: Answer): Trouble {
  const { status, message } = answer
  return status === 0 ? { why: 'cut', message } : { why: whyOf(answer), status, message: `${status} ${message}`.trim() }
}

/** The answer of a cluster that did what a person's command asked of it. Throws what it said instead. */
export function answered(answer: Answer): Answer {
  const { status, message } = answer
  if (status >= 200 && status < 300) return answer
  throw new Error(status === 0 ? `the cluster gives no answer: ${message}` : `the cluster says ${status}: ${message}`)
}

function whyOf({ status, body }: Answer): Trouble['why'] {
  switch (status) {
    case 404: return 'absent'
    case 401:
    case 403: return 'denied'
    case 410:
    case 400: return 'expired'
    // A version from before etcd was restored: the server waits for it, then gives up.
    case 504: return hasCause(body, 'ResourceVersionTooLarge') ? 'expired' : 'cut'
    default: return 'cut'
  }
}

function hasCause(body: unknown, reason: string): boolean {
  if (!isRecord(body) || !isRecord(body['details'])) return false
  const causes = body['details']['causes']
  return Array.isArray(causes) && causes.some(cause => isRecord(cause) && cause['reason'] === reason)
}
