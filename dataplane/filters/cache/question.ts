import type { Cache } from '../../../table/cache.ts'
import type { RuleCache } from '../../cache/caches.ts'
import type { Route, Rule } from '../../../table/route.ts'
import { canonicalOf, textOf, valueAt, type Canonical } from '../../cache/canonical.ts'
import { readingOf } from '../../cache/semantic/particulars.ts'
import { cutText } from '../../cache/semantic/text.ts'
import { digestAgain, digestOf } from '../../cache/digest.ts'
import { groundOf, joined, partitionOf } from '../../cache/key.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { valueOf } from '../../pipeline/headers.ts'
import type { Principal } from '../../pipeline/principal.ts'
import type { BuiltVariant } from '../../pipeline/rule.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { membersOf } from '../../protocols/json.ts'
import { asksForChance, isRemembered, making } from './asks.ts'
import type { Wishes } from './wishes.ts'

/** Puts requests into keys: of those that may be given one answer, one key. */
export type Questions = Readonly<{
  /** All of a request but its body. */
  begin(exchange: Exchange, wishes: Wishes, variant: BuiltVariant, cache: Pick<RuleCache, 'standing'>): Beginning
  /** The key of a request with exactly this body. */
  plain(beginning: Beginning, body: Buffer): string
  /** The key of all requests that say the same, in whichever form. `why`: it is not one whose answer can be another's. */
  same(beginning: Beginning, body: Buffer, exchange: Exchange, wishes: Wishes): Readonly<{ key: string; asks?: () => Asking | undefined } | { why: string }>
}>

/** What a request asks in words, and the key of all that differ in nothing but these. */
export type Asking = Readonly<{ text: string; words: readonly string[]; partition: string }>

/** How the keys of a request begin; `plain`: the one that goes by the bytes of its body. */
export type Beginning = Readonly<{ text: string; plain: string }>

/** What one followed from. */
type Begun = Beginning & Readonly<{ variant: BuiltVariant; principal: Principal | undefined; said: readonly string[] }>

export function createQuestions(route: Route, rule: Rule, policy: Cache): Questions {
  const grounds = new Map(rule.variants.map((variant) => [variant.name, groundOf(route, rule, variant)]))
  const { scope, headers, pointers, nondeterministic, semantic } = policy

  function begin({ received, principal, clientAddress, method }: Exchange, wishes: Wishes, variant: BuiltVariant, cache: Pick<RuleCache, 'standing'>): string {
    const post = method === 'POST'
    const partition = partitionOf(scope, principal, clientAddress, scope === 'Shared' ? none : wishes.credentials)
    const parts = [
      grounds.get(variant.name) ?? '', partition, post ? 'POST' : 'GET', received.authority, received.path, received.query,
      post ? joined([wishes.type, wishes.encoding, wishes.accept, wishes.grpc]) : cache.standing(targetOf(received.authority, received.path + received.query)),
    ]
    for (const name of headers) parts.push(told(received.headers, name))
    return joined(parts)
  }

  /** By the head of a connection that comes again: nearly all that is said is the same text then, and not only one like it. */
  const begun = new WeakMap<object, Begun>()
  return {
    begin(exchange, wishes, variant, cache) {
      const { received, principal, clientAddress, method } = exchange
      const { type, encoding, accept, grpc, jsonLength, credentials } = wishes
      const { again } = received
      // What is about a target changes with that, and is looked up each time.
      const kept = method === 'POST' && again !== undefined
      const said = kept ? [received.authority, received.path, received.query, clientAddress, type, encoding, accept, grpc, jsonLength] : none
      if (kept) {
        for (const name of headers) said.push(valueOf(received.headers, name) ?? '\n')
        for (const credential of credentials) said.push(credential)
        const last = begun.get(again)
        if (last !== undefined && last.variant === variant && last.principal === principal && isSame(last.said, said)) return last
      }
      const text = begin(exchange, wishes, variant, cache)
      const beginning = { text, plain: `b${text}${jsonLength};` }
      if (kept) begun.set(again, { ...beginning, variant, principal, said })
      return beginning
    },
    plain: (beginning, body) => digestAgain(beginning.plain, body),
    same(beginning, body, exchange, wishes) {
      const { type, jsonLength } = wishes
      const { path } = exchange.received
      if (isRemembered(path, type, body)) return { why: 'it is part of a sequence' }
      const head = jsonLength === '' ? body.length : /^\d{1,9}$/.test(jsonLength) ? Number(jsonLength) : Number.NaN
      const value = isGrpc(type) || !(head <= body.length) ? undefined : canonicalOf(body.subarray(0, head))
      if (nondeterministic !== true && !isGrpc(type) && asksForChance(path, value ?? summaryOf(body))) return { why: 'its answer is left to chance' }
      if (value === undefined) return { key: digestAgain(beginning.plain, body) }
      const counts = (of: Canonical): string => pointers.length === 0 ? textOf(of) : joined([...making.map((name) => `/${name}`), ...pointers].map((pointer) => {
        const found = valueAt(of, pointer)
        return found === undefined ? '' : textOf(found)
      }))
      const text = counts(value)
      const tail = body.subarray(head)
      return {
        key: digestOf(`j${beginning.text}${text.length}:${text}`, tail),
        ...(semantic && {
          asks() {
            const cut = cutText(value, semantic.text)
            if (cut === undefined) return undefined
            const { words, particulars } = readingOf(cut.text)
            return { text: cut.text, words, partition: digestOf(joined(['n', beginning.text, counts(cut.rest), particulars]), tail) }
          },
        }),
      }
    },
  }
}

const none: string[] = []

/** What a request is about. */
export const targetOf = (authority: string, target: string): string => digestOf(joined([authority]), target)

function isSame(texts: readonly string[], others: readonly string[]): boolean {
  if (texts.length !== others.length) return false
  for (let i = 0; i < texts.length; i++) if (texts[i] !== others[i]) return false
  return true
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
