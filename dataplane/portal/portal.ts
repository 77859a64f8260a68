import { hash, randomBytes } from 'node:crypto'
import { readBody } from '../pipeline/body.ts'
import { cookieOf } from '../pipeline/cookies.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { Conversation } from '../receive/conversation.ts'
import type { Table } from '../runtime.ts'
import { digestOf, holderOf, principalOf, type Holder, type Keys } from './holder.ts'
import { offersOf } from './offers.ts'
import { dashboardPage, home, rotatedPage, signInPage } from './page.ts'
import { cookieName, formToken, sameToken, seal, sessionMax, unseal, type Session } from './session.ts'
import { style } from './style.ts'
import type { Tally } from './tally.ts'

/** Gives the holder another key, of which only the digest is told: what it is called, and until when the old one works. */
export type RotateKey = Conversation['rotate']

export type PortalDeps = Readonly<{
  keys: Keys
  table: () => Table | undefined
  tally: Tally
  rotate?: RotateKey | undefined
  now?: () => number
}>

/** The pages of a key's holder, on the public port. */
export type Portal = Readonly<{
  /** Whether a request is for it and not for a route. */
  owns(path: string): boolean
  pages: readonly Page[]
  /** What is shown where there is no page. */
  missing: Page['show']
  failed(exchange: Exchange, why: unknown): Answer
}>

type Page = Readonly<{ method: 'get' | 'post'; path: string; show: (exchange: Exchange) => Answer | Promise<Answer> }>

/** Bytes of a form. */
const formMax = 16_384

type Answer = Readonly<{ status: number; body: string; headers: readonly (readonly [string, string])[] }>
type Shown = Readonly<{ status: number; body?: string; type?: string; location?: string; cookie?: string }>

export function createPortal({ keys, table, tally, rotate, now = Date.now }: PortalDeps): Portal {
  /** Whose session this is, as long as the key is one. */
  function visitor(exchange: Exchange): Readonly<{ holder: Holder; cookie: string; token: string }> | undefined {
    const cookie = cookieOf(exchange.header('cookie'), cookieName)
    const { pepper } = keys
    const session = cookie === undefined || pepper === undefined ? undefined : unseal(cookie, pepper, now())
    const holder = session && holderOf(keys, session.digest, session.tenant, now())
    if (holder === undefined || cookie === undefined || pepper === undefined) return undefined
    exchange.principal = principalOf(holder)
    return { holder, cookie, token: formToken(cookie, pepper) }
  }

  async function show(exchange: Exchange, problem?: string): Promise<Shown> {
    const visit = visitor(exchange)
    const current = table()
    if (visit === undefined || current === undefined) return { status: 200, body: signInPage(undefined) }
    const { holder, token } = visit
    const offers = await offersOf(current, keys, holder, exchange.received.authority)
    const used = tally.of(holder.tenant, holder.key.consumer)
    const mayRotate = rotate !== undefined && holder.key.rotates === true
    const dashboard = dashboardPage({ holder, offers, used, origin: originOf(exchange), token, mayRotate, problem })
    return { status: problem === undefined ? 200 : 409, body: dashboard }
  }

  async function signIn(exchange: Exchange): Promise<Shown> {
    const key = (await formOf(exchange))?.get('key')?.trim()
    if (!key || !fromHere(exchange)) return { status: 400, body: signInPage('That was not sent from this page. Try again.') }
    const { pepper } = keys
    if (pepper === undefined) return { status: 503, body: signInPage('Keys cannot be checked at present. Try again in a minute.') }
    const digest = digestOf(key, pepper)
    const holder = holderOf(keys, digest, undefined, now())
    if (holder === undefined) {
      exchange.error = 'unauthenticated'
      exchange.cause = 'portal: no such key'
      return { status: 401, body: signInPage('That key is not known here.') }
    }
    exchange.principal = principalOf(holder)
    const session: Session = { tenant: holder.tenant, digest, until: Math.min(now() + sessionMax, holder.key.expires ?? Number.POSITIVE_INFINITY) }
    return { status: 303, location: home, cookie: `${seal(session, pepper)}; Max-Age=${Math.round((session.until - now()) / 1000)}` }
  }

  async function signOut(exchange: Exchange): Promise<Shown> {
    const visit = visitor(exchange)
    const form = await formOf(exchange)
    // Nobody is signed in, as far as the request says: that of another site says so too, and must not end the session.
    if (visit === undefined) return { status: 303, location: home }
    if (!sameToken(form?.get('token') ?? '', visit.token)) return forged(exchange)
    return { status: 303, location: home, cookie: '; Max-Age=0' }
  }

  async function replace(exchange: Exchange): Promise<Shown> {
    const visit = visitor(exchange)
    const form = await formOf(exchange)
    if (visit === undefined) return { status: 303, location: home }
    if (!sameToken(form?.get('token') ?? '', visit.token)) return forged(exchange)
    if (rotate === undefined || visit.holder.key.rotates !== true) return { status: 403, body: signInPage('This key is not replaced here.') }
    const key = `mr_${randomBytes(32).toString('base64url')}`
    const rotated = await rotate({ namespace: visit.holder.tenant, name: visit.holder.key.name, keySha256: hash('sha256', key, 'hex') })
    if ('problem' in rotated) return show(exchange, `The key was not replaced: ${rotated.problem}`)
    return { status: 200, body: rotatedPage(key, rotated.name, rotated.until, visit.token) }
  }

  function forged(exchange: Exchange): Shown {
    exchange.error = 'forbidden'
    exchange.cause = 'portal: a form without its token'
    return { status: 403, body: signInPage('That was not sent from this page. Try again.') }
  }

  const page = (method: Page['method'], path: string, handle: (exchange: Exchange) => Shown | Promise<Shown>): Page => (
    { method, path: `${home}${path}`, show: async (exchange) => answerOf(exchange, await handle(exchange)) })

  return {
    owns: (path) => path === home || path.startsWith(`${home}/`),
    pages: [
      page('get', '', (exchange) => show(exchange)),
      page('get', '/style.css', () => ({ status: 200, type: 'text/css; charset=utf-8', body: style })),
      page('post', '/sign-in', signIn),
      page('post', '/sign-out', signOut),
      page('post', '/rotate', replace),
    ],
    missing(exchange) {
      exchange.error = 'no_route'
      return answerOf(exchange, { status: 404, body: signInPage('There is no such page.') })
    },
    failed(exchange, why) {
      exchange.cause = String(why)
      return answerOf(exchange, { status: 500, body: signInPage('Something went wrong.') })
    },
  }
}

/** The fields of a small form; undefined where it is none. */
async function formOf(exchange: Exchange): Promise<URLSearchParams | undefined> {
  const { bodyLength } = exchange.received
  if (bodyLength === 'chunked' || bodyLength > formMax) return undefined
  if (!exchange.header('content-type')?.startsWith('application/x-www-form-urlencoded')) return undefined
  const body = await readBody(exchange)
  return 'code' in body ? undefined : new URLSearchParams(body.toString())
}

/** A form that signs in has no session yet: the browser says where it stands (Fetch Metadata, and Origin before it). */
function fromHere(exchange: Exchange): boolean {
  const site = exchange.header('sec-fetch-site')
  if (site !== undefined) return site === 'same-origin'
  const origin = exchange.header('origin')
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === exchange.received.authority)
}

const encrypted = ({ request }: Exchange) => request.encrypted

/** As the visitor sees it, also behind a hop that is trusted. */
function originOf(exchange: Exchange): string {
  const told = exchange.trail === undefined ? undefined : exchange.header('x-forwarded-proto')
  const scheme = encrypted(exchange) || told === 'https' ? 'https' : 'http'
  const origin = `${scheme}://${exchange.received.authority}`
  return URL.canParse(origin) ? origin : 'http://localhost'
}

function answerOf(exchange: Exchange, { status, body = '', type = 'text/html; charset=utf-8', location, cookie }: Shown): Answer {
  const headers: [string, string][] = [
    ['content-type', type],
    // Nothing from elsewhere, no script at all, in nobody's frame, and forms go nowhere else.
    ['content-security-policy', "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"],
    ['x-content-type-options', 'nosniff'], ['x-frame-options', 'DENY'], ['referrer-policy', 'no-referrer'],
    ['cross-origin-opener-policy', 'same-origin'], ['cross-origin-resource-policy', 'same-origin'],
    ['cache-control', type.startsWith('text/css') ? 'max-age=300' : 'no-store'],
  ]
  if (location !== undefined) headers.push(['location', location])
  const secure = originOf(exchange).startsWith('https:') ? '; Secure' : ''
  if (cookie !== undefined) headers.push(['set-cookie', `${cookieName}=${cookie}; Path=${home}; HttpOnly; SameSite=Strict${secure}`])
  return { status, body, headers }
}
