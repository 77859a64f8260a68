import { readBody } from '../../pipeline/body.ts'
import type { Failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { membersOf, type Members } from '../../protocols/json.ts'
import { promptStart } from '../../protocols/prompt.ts'
import { hash32 } from '../../upstream/hash.ts'
import type { Filter, Outcome } from '../filter.ts'

/**
 * Characters of a prompt that decide which endpoint has it: about a thousand tokens, 64 blocks of vLLM's cache of keys
 * and values (16 tokens each). A beginning that is shorter is computed in some tens of milliseconds, and every
 * replica may have it; what is longer is worth bringing together.
 */
const prefixLength = 4096

/** Reads how the prompt begins, where endpoints are chosen by that. What has no prompt is let pass without. */
export const promptPrefix: Filter = {
  name: 'prompt_prefix',
  build({ rule }) {
    if (rule.balance.key?.by !== 'PromptPrefix') return undefined
    return function readPrompt(exchange) {
      const type = exchange.header('content-type')
      // A stream of gRPC messages has no end to wait for, and an upload no prompt.
      if (exchange.received.bodyLength === 0 || isGrpc(type) || type?.startsWith('multipart/') === true) return undefined
      const body = readBody(exchange)
      return body instanceof Promise ? body.then((settled) => keep(exchange, settled)) : keep(exchange, body)
    }
  },
}

function keep(exchange: Exchange, body: Buffer | Failure): Outcome {
  if ('code' in body) return body
  const members = (exchange.members ??= membersOf(body))
  const start = members && startOf(members)
  exchange.explaining?.set('prompt_prefix', start === undefined ? 'no prompt' : `the first ${start.length} characters decide`)
  if (start !== undefined) exchange.promptKey = hash32(start, 0)
  return undefined
}

function startOf(members: Members): string | undefined {
  try {
    return promptStart(members, prefixLength)
  } catch {
    // It is nested deeper than anybody would.
    return undefined
  }
}
