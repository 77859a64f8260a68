import type { Cache } from '../../../table/cache.ts'
import type { RuleCache } from '../../cache/caches.ts'
import type { Route, Rule } from '../../../table/route.ts'
import { canonicalOf, textOf, valueAt, type Canonical } from '../../cache/canonical.ts'
import { readingOf } from '../../cache/semantic/particulars.ts'
import { cutText } from '../../cache/semantic/text.ts'
import { digestOf, groundOf, joined, partitionOf } from '../../cache/key.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { valueOf } from '../../pipeline/headers.ts'
import type { BuiltVariant } from '../../pipeline/rule.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { membersOf } from '../../protocols/json.ts'
import { asksForChance, isRemembered, making } from './asks.ts'
import type { Wishes } from './wishes.ts'

/** Puts requests into keys: of those that may be given one answer, one key. */
export type Questions = Readonly<{
  /** All of a request but its body, as the beginning of its keys. */
  begin(exchange: Exchange, wishes: Wishes, variant: BuiltVariant, cache: Pick<RuleCache, 'standing'>): string
  /** The key of a request with exactly this body. */
  plain(beginning: string, body: Buffer, wishes: Wishes): string
  /** The key of all requests that say the same, in whichever form. `why`: it is not one whose answer can be another's. */
  same(beginning: string, body: Buffer, exchange: Exchange, wishes: Wishes): Readonly<{ key: string; asks?: () => Asking | undefined } | { why: string }>
}>

/** What a request asks in words, and the key of all that differ in nothing but these. */
export type Asking = Readonly<{ text: string; words: readonly string[]; partition: string }>

export function createQuestions(route: Route, rule: Rule, policy: Cache): Questions {
  const grounds = new Map(rule.variants.map((variant) => [variant.name, groundOf(route, rule, variant)]))
  const { scope, headers, pointers, nondeterministic, semantic } = policy
  return {
    begin(exchange, wishes, variant, cache) {
      const { received, principal, clientAddress, method } = exchange
      const post = method === 'POST'
      const partition = partitionOf(scope, principal, clientAddress, scope === 'Shared' ? none : wishes.credentials)
      const parts = [
        grounds.get(variant.name) ?? '', partition, post ? 'POST' : 'GET', received.authority, received.path, received.query,
        post ? joined([wishes.type, wishes.encoding, wishes.accept, wishes.grpc]) : cache.standing(targetOf(received.authority, received.path + received.query)),
      ]
      for (const name of headers) parts.push(told(received.headers, name))
      return joined(parts)
    },
    plain,
    same(beginning, body, exchange, wishes) {
      const { type, jsonLength } = wishes
      const { path } = exchange.received
      if (isRemembered(path, type, body)) return { why: 'it is part of a sequence' }
      const head = jsonLength === '' ? body.length : /^\d{1,9}$/.test(jsonLength) ? Number(jsonLength) : Number.NaN
      const value = isGrpc(type) || !(head <= body.length) ? undefined : canonicalOf(body.subarray(0, head))
      if (nondeterministic !== true && !isGrpc(type) && asksForChance(path, value ?? summaryOf(body))) return { why: 'its answer is left to chance' }
      if (value === undefined) return { key: plain(beginning, body, wishes) }
      const counts = (of: Canonical): string => pointers.length === 0 ? textOf(of) : joined([...making.map((name) => `/${name}`), ...pointers].map((pointer) => {
        const found = valueAt(of, pointer)
        return found === undefined ? '' : textOf(found)
      }))
      const text = counts(value)
      const tail = body.subarray(head)
      return {
        key: digestOf(`j${beginning}${text.length}:${text}`, tail),
        ...(semantic && {
          asks() {
            const cut = cutText(value, semantic.text)
            if (cut === undefined) return undefined
            const { words, particulars } = readingOf(cut.text)
            return { text: cut.text, words, partition: digestOf(joined(['n', beginning, counts(cut.rest), particulars]), tail) }
          },
        }),
      }
    },
  }
}

const none: readonly string[] = []

/** What a request is about. */
export const targetOf = (authority: string, target: string): string => digestOf(joined([authority]), target)

function plain(beginning: string, body: Buffer, { jsonLength }: Wishes): string {
  return digestOf(`b${beginning}${jsonLength};`, body)
}

/** Of a large body, what tells whether it asks for chance. */
function summaryOf(body: Buffer): Canonical | undefined {
  const members = membersOf(body)
  if (members === undefined) return undefined
  const found = new Map<string, Canonical>()
  for (const name of ['temperature', 'seed', 'random_seed', 'parameters']) {
    const [from, to] = members.place(name) ?? [0, 0]
    const value = canonicalOf(body.subarray(from, to))
    if (value !== undefined) found.set(name, value)
  }
  return found
}

/** The key of one of several answers to a request, told apart by these headers. */
export function variedKey(key: string, names: readonly string[], headers: readonly string[]): string {
  return digestOf('v', joined([key, ...names.map((name) => `${name}${told(headers, name)}`)]))
}

/** Whether a header is there, and its value, however its list is spaced. */
function told(headers: readonly string[], name: string): string {
  const value = valueOf(headers, name)
  if (value === undefined) return '-'
  const items = value.trim().replaceAll(/\s*,\s*/g, ',')
  // Neither case nor order matters (RFC 4647 section 2, RFC 9110 section 12.5.4).
  return `=${name === 'accept-language' ? items.toLowerCase().split(',').sort().join() : items}`
}
