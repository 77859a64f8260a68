import type { IncomingMessage } from 'node:http'
import * as v from 'valibot'
import { ACTIONS } from './commands.ts'

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(253))

/** `specHash`: of the rule's status, so that nothing is done to a version that the caller has not seen; may be left out. */
const RolloutRequest = v.strictObject({
  namespace: v.optional(name, 'default'),
  route: name,
  rule: v.optional(name),
  action: v.picklist(ACTIONS),
  revision: v.exactOptional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
  specHash: v.exactOptional(v.pipe(v.string(), v.maxLength(64))),
})

export type RolloutRequest = v.InferOutput<typeof RolloutRequest>

/** `refused`: why. `rule`: its status afterwards. */
export type RolloutAnswer = Readonly<{ refused: string; status: 404 | 409 | 503 } | { rule: unknown }>

type Reply = Readonly<{ status: number; type: string; body: string }>

/** Bytes. */
const MAX_BODY = 4096

/** `POST /rollout`: JSON in, JSON out. */
export async function rolloutPage(request: IncomingMessage, obey: (request: RolloutRequest) => Promise<RolloutAnswer>): Promise<Reply> {
  if (request.method !== 'POST') return reply(405, { error: 'POST only' })
  // A web page may post to any port of its reader's machine, but not this type unasked, nor without saying who it is.
  const { origin, host } = request.headers
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) return reply(415, { error: 'content-type must be application/json' })
  if (origin !== undefined && !URL.canParse(origin)) return reply(403, { error: 'not for other web pages' })
  if (origin !== undefined && new URL(origin).host !== host) return reply(403, { error: 'not for other web pages' })
  const text = await read(request)
  if (text === undefined) return reply(413, { error: `at most ${MAX_BODY} bytes` })
  const parsed = v.safeParse(RolloutRequest, json(text))
  if (!parsed.success) return reply(400, { error: parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'body'}: ${issue.message}`).join('; ') })
  if (parsed.output.revision !== undefined && parsed.output.action !== 'undo') return reply(400, { error: 'revision goes with undo' })
  const answer = await obey(parsed.output)
  return 'refused' in answer ? reply(answer.status, { error: answer.refused }) : reply(200, answer)
}

function reply(status: number, body: unknown): Reply {
  return { status, type: 'application/json', body: `${JSON.stringify(body)}\n` }
}

async function read(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
