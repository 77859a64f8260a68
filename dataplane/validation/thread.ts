import { parentPort } from 'node:worker_threads'
import { checkerOf, type Checker } from '../../table/schema/schema.ts'
import { checkByModel, checkBySchema, type By } from './check.ts'
import type { FromThread, ToThread } from './messages.ts'
import type { Verdict } from './verdict.ts'

/** Checks large bodies, and by large schemas, beside the thread that answers requests. */

/** Microseconds of its time that one check may take. */
const timeMax = 1_000_000
/** Steps of any check, and those for each byte: a number takes two bytes at least. */
const stepsMin = 500_000
const stepsPerByte = 1

const checkers = new Map<string, Checker>()
const now = () => {
  const { user, system } = process.threadCpuUsage()
  return user + system
}

parentPort?.on('message', (message: ToThread) => {
  if (message.type === 'forget') {
    checkers.clear()
    return
  }
  if (message.type === 'learn') {
    const checker = checkerOf(JSON.parse(message.schema))
    if (typeof checker !== 'string') checkers.set(message.key, checker)
    return
  }
  const verdict = check(Buffer.concat(message.pieces), message.by)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(verdict satisfies FromThread)
})

function check(json: Buffer, by: By): Verdict {
  if (by.by !== 'schema') return checkByModel(json, by)
  const checker = checkers.get(by.key)
  if (checker === undefined) return 'busy'
  return checkBySchema(json, checker, { steps: stepsMin + json.length * stepsPerByte, until: now() + timeMax, now })
}
