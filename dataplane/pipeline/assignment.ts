import { randomBytes } from 'node:crypto'
import type { Split } from '../../table/delivery.ts'
import type { Route, Rule } from '../../table/route.ts'
import { createSplitter, type Splitter, type SplitState } from '../upstream/split.ts'
import { createSticky } from '../upstream/sticky.ts'
import { callerOf } from './caller.ts'
import { cookieOf } from './cookies.ts'
import type { Exchange } from './exchange.ts'

/** Gives a request the position of its variant, and where somebody asks why, the reason; undefined: no variant has a weight. */
export type Assign = (exchange: Exchange) => number | undefined

/** A cookie lasts as long as any test of two versions. Seconds. */
const cookieAge = 365 * 86_400

/** By weight alone, or by a key of the request that stays on its variant; what has no key is given by weight. */
export function createAssign(route: Route, { name, variants, split }: Rule, state: SplitState): Assign {
  const random = byWeight(variants, createSplitter(variants, state))
  return split === undefined ? random : byKey(variants, split, `${route.id}\n${name}`, random)
}

/** For who asks why; a key is never told, it may be a name. */
function tell({ told, explaining }: Exchange, variants: Rule['variants'], by: string, why: string, bucket?: number): void {
  if (told === undefined) return
  explaining?.set('split', why)
  const total = variants.reduce((sum, { weight }) => sum + weight, 0)
  const shares = variants.filter(({ weight }) => weight > 0).map(({ name: variant, weight }) => ({ variant, percent: weight / total * 100 }))
  told.split = { by, ...(bucket !== undefined && { bucket }), shares }
}

const byWeight = (variants: Rule['variants'], spread: Splitter): Assign => (exchange) => {
  tell(exchange, variants, 'weight', 'by weight')
  return spread(exchange.explaining !== undefined)
}

function byKey(variants: Rule['variants'], split: Split, salt: string, random: Assign): Assign {
  const sticky = createSticky(variants, salt)
  if (sticky === undefined) return random
  const made = split.by === 'Cookie' ? ', and would be given one' : ''
  const by = split.by === 'Principal' ? 'principal' : `${split.by.toLowerCase()} ${split.name}`
  return (exchange) => {
    const key = keyOf(exchange, split) ?? exchange.bucket ?? newCookie(exchange, split)
    if (key === undefined) {
      const position = random(exchange)
      tell(exchange, variants, made === '' ? 'weight' : `new ${by}`, `by weight: the request has no ${by}${made}`)
      return position
    }
    const bucket = typeof key === 'number' ? key : sticky.bucketOf(key)
    exchange.bucket = bucket
    const position = sticky.of(bucket)
    tell(exchange, variants, by, `by ${by}: bucket ${bucket} of ${2 ** 32}`, bucket)
    return position
  }
}

function keyOf(exchange: Exchange, split: Split): string | undefined {
  if (split.by === 'Principal') return callerOf(exchange)
  const key = split.by === 'Header' ? exchange.header(split.name) : cookieOf(exchange.header('cookie'), split.name)
  return key === '' ? undefined : key
}

/**
 * A caller without the cookie is given one. It is a key made up for them, and says nothing of the variant. The cookie
 * may also be one that the backend sets: then the backend's is the one that counts.
 */
function newCookie(exchange: Exchange, split: Split): string | undefined {
  if (split.by !== 'Cookie' || exchange.explaining !== undefined) return undefined
  const key = randomBytes(16).toString('base64url')
  const secure = exchange.header('x-forwarded-proto') === 'https' ? '; Secure' : ''
  const cookie = `${split.name}=${key}; Path=/; Max-Age=${cookieAge}; HttpOnly; SameSite=Lax${secure}`
  ;(exchange.headTaps ??= []).push((_, headers) => {
    for (let i = 0; i < headers.length; i += 2) {
      if (headers[i] === 'set-cookie' && headers[i + 1]?.startsWith(`${split.name}=`) === true) return
    }
    headers.push('set-cookie', cookie)
  })
  return key
}
