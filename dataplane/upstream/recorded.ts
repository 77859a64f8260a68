import type { Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { Commit } from '../telemetry/audit.ts'
import type { AnswerHandler } from './dispatch.ts'
import { HeldBack } from './held-back.ts'

/** Holds an answer back until it is recorded that it goes out. @param refuse ends it before its first byte */
export function recorded(to: AnswerHandler, refuse: (why: Failure) => void, exchange: Exchange, commit: Commit): AnswerHandler {
  return new HeldBack(to, async (status, headers) => {
    const unrecorded = await commit(exchange, status)
    if (unrecorded === undefined) return headers
    refuse(unrecorded)
    return undefined
  })
}
