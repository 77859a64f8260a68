import type { IncomingMessage } from 'node:http'
import * as v from 'valibot'
import type { Access, Actor, Denied } from '../actions/access.ts'
import { ACTIONS } from './commands.ts'

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(253))

/** `specHash`: of the rule's status, so that nothing is done to a version that the caller has not seen; may be left out. */
const RolloutRequest = v.strictObject({
  namespace: v.optional(name, 'default'),
  route: name,
  rule: v.optional(name),
  action: v.picklist([...ACTIONS, 'set-weight']),
  revision: v.exactOptional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
  specHash: v.exactOptional(v.pipe(v.string(), v.maxLength(64))),
  /** With `set-weight`: what stands in the manifest from then on. */
  weights: v.exactOptional(v.pipe(
    v.array(v.strictObject({ variant: name, weight: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(1_000_000)) })),
    v.minLength(1), v.maxLength(16),
  )),
})

export type RolloutRequest = v.InferOutput<typeof RolloutRequest>

/** `refused`: why. `rule`: its status afterwards. */
export type RolloutAnswer = Readonly<{ refused: string; status: 404 | 409 | Denied['status'] } | { rule: unknown }>

/** An answer of the control port. */
export type Reply = Readonly<{ status: number; type: string; body: string; headers?: Readonly<Record<string, string>> }>

/** Bytes. */
const MAX_BODY = 4096

export type RolloutPages = Readonly<{ access: Access; obey: (request: RolloutRequest, actor: Actor) => Promise<RolloutAnswer> }>

/** `POST /rollout`: JSON in, JSON out. */
export async function rolloutPage(request: IncomingMessage, { access, obey }: RolloutPages): Promise<Reply> {
  const actor = await actorOf(request, access)
  if ('body' in actor) return actor
  const text = await read(request)
  if (text === undefined) return reply(413, { error: `at most ${MAX_BODY} bytes` })
  const parsed = v.safeParse(RolloutRequest, json(text))
  if (!parsed.success) return reply(400, { error: parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'body'}: ${issue.message}`).join('; ') })
  const { action, revision, weights } = parsed.output
  if (revision !== undefined && action !== 'undo') return reply(400, { error: 'revision goes with undo' })
  if ((weights !== undefined) !== (action === 'set-weight')) return reply(400, { error: 'weights go with set-weight' })
  const answer = await obey(parsed.output, actor)
  return 'refused' in answer ? reply(answer.status, { error: answer.refused }) : reply(200, answer)
}

/** `POST /console/session`: whose token it is, which a page asks before it offers what the token is for. */
export async function sessionPage(request: IncomingMessage, access: Access): Promise<Reply> {
  const actor = await actorOf(request, access)
  request.resume()
  return 'body' in actor ? actor : reply(200, { name: actor.name })
}

async function actorOf(request: IncomingMessage, access: Access): Promise<Actor | Reply> {
  if (request.method !== 'POST') return reply(405, { error: 'POST only' })
  // A form can be posted to any port of its reader's machine, but not with this type.
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) return reply(415, { error: 'content-type must be application/json' })
  const actor = await access(request)
  if (!('error' in actor)) return actor
  const { status, error, retryAfter } = actor
  return { ...reply(status, { error }), ...(retryAfter !== undefined && { headers: { 'retry-after': String(retryAfter) } }) }
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
