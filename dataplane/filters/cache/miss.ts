import type { RuleCache } from '../../cache/caches.ts'
import { ageAt, type Entry } from '../../cache/entry.ts'
import type { Flight } from '../../cache/flights.ts'
import { failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { removeHeader, valueOf } from '../../pipeline/headers.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import type { Outcome } from '../filter.ts'
import { isKnown } from './asks.ts'
import { fetch, find, give, isGood, look, mark, nameOf, type Asked, type Built } from './give.ts'
import { targetOf, type Asking } from './question.ts'
import { recording } from './recording.ts'
import type { Sought } from './semantic.ts'
import { settlesFor } from './wishes.ts'

/** A request for which nothing is here that it may be given. `old`: what was. `alias`: another key that leads to its answer. `asks`: what it asks in words. */
export type Missed = Asked & Readonly<{ key: string; alias: string | undefined; old: Entry | undefined; asks?: (() => Asking | undefined) | undefined }>

/** How often a request waits for another one like it, before it goes itself. */
const waitsMax = 3

const notCached = failure('not_cached', 'No answer to this request is kept, and only-if-cached says that no backend is to be asked.')

/** Waits for one like it, or asks the store that proxies share, or a backend. */
export function miss(missed: Missed, built: Built, waits: number): Outcome | Promise<Outcome> {
  const { exchange, wishes, key } = missed
  const { cache } = built
  if (wishes.control.has('only-if-cached')) {
    mark(exchange, { result: 'miss' })
    if (exchange.told !== undefined) exchange.told.cache = { result: 'miss', key: nameOf(key), why: notCached.detail }
    return notCached
  }
  if (exchange.explaining !== undefined) return imagine(missed, built)
  const before = waits < waitsMax && wishes.control.size === 0 && exchange.method !== 'HEAD' ? cache.flights.under(key) : undefined
  if (before === undefined) return go(missed, built)
  return new Promise<Outcome>((resolve) => {
    const leave = before.join((landing) => {
      if (landing === 'unkept') resolve(go(missed, built))
      else if (landing === 'stale' && missed.old !== undefined && maySettle(missed, missed.old)) resolve(give(missed, key, missed.old, built, { result: 'stale' }))
      else {
        const entry = find(cache, key, exchange)
        resolve(entry !== undefined && isGood(entry, wishes) ? give(missed, key, entry, built) : miss({ ...missed, old: entry }, built, waits + 1))
      }
    })
    exchange.onEnd(leave)
  })
}

/** What would come of it, as far as that is known without asking for vectors of its text. */
async function imagine(missed: Missed, built: Built): Promise<Outcome> {
  const { exchange, wishes, key, old, asks } = missed
  const { cache, semantic } = built
  const good = (entry: Entry | undefined) => entry !== undefined && isGood(entry, wishes) ? entry : undefined
  const elsewhere = exchange.method === 'POST' && wishes.control.size === 0 ? good(await look(cache, key, exchange)) : undefined
  if (elsewhere !== undefined) return give(missed, key, elsewhere, built)
  const like = semantic && cache.likeness(key, true)
  const similar = like && good(find(cache, like.key, exchange))
  if (like !== undefined && similar !== undefined) return give(missed, like.key, similar, built, { result: 'semantic-hit', similarity: like.similarity })
  const stale = old !== undefined && old.staleIfError > 0 && maySettle(missed, old)
  const notes = [
    old === undefined ? 'nothing is kept for it' : 'what is kept is too old',
    ...(stale ? ['which stands in for a backend that fails'] : []),
    ...(cache.flights.under(key) === undefined ? [] : ['one like it is on its way, and is waited for']),
    ...(semantic === undefined || asks === undefined ? [] : [cache.trust.lost ? 'texts that mean the same are not compared: too many were not the same' : 'texts that mean the same are not looked for: it takes a vector']),
  ]
  const why = notes.join('; ')
  exchange.explaining?.set('cache', `miss: ${why}, under ${nameOf(key)}`)
  if (exchange.told !== undefined) exchange.told.cache = { result: 'miss', key: nameOf(key), why, ...(stale && { stale }) }
  return undefined
}

const maySettle = ({ wishes }: Asked, old: Entry): boolean => settlesFor(wishes, old, ageAt(old, Date.now()))

function go(missed: Missed, built: Built): Outcome | Promise<Outcome> {
  const { exchange, wishes, key } = missed
  const { cache } = built
  if (exchange.method === 'HEAD') {
    mark(exchange, { result: 'miss' })
    return undefined
  }
  const flight = cache.flights.under(key) === undefined ? cache.flights.begin(key, performance.now()) : undefined
  if (flight !== undefined) {
    exchange.onEnd(() => {
      if (!exchange.orphaned) flight.land('failed')
    })
  }
  // What a GET brings is in one proxy only: others do not hear of what changes it.
  const elsewhere = exchange.method === 'POST' && wishes.control.size === 0 ? fetch(cache, key, exchange) : undefined
  if (elsewhere === undefined) return seek(missed, built, flight)
  return elsewhere.then((entry) => {
    if (entry === undefined || !isGood(entry, wishes)) return seek({ ...missed, old: missed.old ?? entry }, built, flight)
    flight?.land('kept')
    return give(missed, key, entry, built)
  })
}

/** Nothing is kept for what it says: perhaps there is something for what it means. */
function seek(missed: Missed, built: Built, flight: Flight | undefined): Outcome | Promise<Outcome> {
  const { exchange, wishes, key, asks } = missed
  const good = (entry: Entry | undefined) => entry !== undefined && isGood(entry, wishes) ? entry : undefined
  const since = performance.now()
  const sought = built.semantic?.seek(key, asks, exchange, {
    here: (near) => good(find(built.cache, near, exchange)),
    anywhere: (near) => fetch(built.cache, near, exchange)?.then(good),
  })
  if (!(sought instanceof Promise)) return compare(missed, built, flight, sought)
  return sought.then((found) => {
    exchange.spans?.took('semantic lookup', since, { 'modelroute.cache.similar': found.similar !== undefined })
    return compare(missed, built, flight, found)
  })
}

function compare(missed: Missed, built: Built, flight: Flight | undefined, { similar, place }: Sought = {}): Outcome {
  const { cache, semantic } = built
  const { key } = missed
  if (similar !== undefined && semantic?.draws() === false) {
    cache.liken(key, similar)
    flight?.land('kept')
    return give(missed, similar.key, similar.entry, built, { result: 'semantic-hit', similarity: similar.similarity })
  }
  return forward(missed, built, flight, (place ?? similar) && ((entry) => {
    if (place !== undefined) cache.place(place, key)
    if (similar !== undefined) void semantic?.verify(similar, entry)
  }))
}

/** Lets the request go to its backend, and keeps what comes. @param kept hears of that */
function forward(missed: Missed, built: Built, flight: Flight | undefined, kept: ((entry: Entry) => void) | undefined): undefined {
  const { exchange, wishes, variant, key, alias, old } = missed
  const { cache } = built
  mark(exchange, { result: 'miss' })
  // What computes changes nothing; of other paths nobody knows.
  if (exchange.method === 'POST' && !isKnown(exchange.path) && !isGrpc(wishes.type)) forgetChanged(exchange, cache)
  const revalidates = old !== undefined && exchange.method === 'GET' && asksAgain(exchange, old)
  if (flight !== undefined) {
    exchange.audience = { stays: (gone) => flight.outlives(gone), fail: () => flight.land('failed') }
  }
  const settles = old !== undefined && old.staleIfError > 0 ? () => maySettle(missed, old) : undefined
  const stage = recording({
    exchange, built, variant, wishes, key, alias, flight, kept, mark: cache.floor, asked: Date.now(), old, revalidates, settles,
    credential: wishes.credentials.length > 0 && cache.policy.scope !== 'Principal',
  })
  ;(exchange.stages ??= []).push(stage)
  if (old !== undefined && settles !== undefined) {
    exchange.rescue = () => {
      if (!settles()) return false
      // What is given now is not to be kept again.
      exchange.stages = exchange.stages?.filter((one) => one !== stage)
      const served = give(missed, key, old, built, { result: 'stale', ...(exchange.error && { why: exchange.error }) })
      exchange.error = undefined
      exchange.rescue = undefined
      flight?.land('stale')
      exchange.onEnd(() => served.clientClosed())
      served.start()
      return true
    }
  }
  return undefined
}

/** Asks the backend whether what is kept still holds (RFC 9111 section 4.3.1). What the caller has is compared with the outcome. */
function asksAgain({ received: { headers } }: Exchange, old: Entry): boolean {
  const [etag, modified] = [valueOf(old.headers, 'etag'), valueOf(old.headers, 'last-modified')]
  if ((etag === undefined && modified === undefined) || ageAt(old, Date.now()) >= old.kept) return false
  for (const [name, value] of [['if-none-match', etag], ['if-modified-since', modified]] as const) {
    removeHeader(headers, name)
    if (value !== undefined) headers.push(name, value)
  }
  return true
}

/** After a change, what is kept about its target holds no more (RFC 9111 section 4.4). */
export function forgetChanged(exchange: Exchange, cache: RuleCache): void {
  ;(exchange.headTaps ??= []).push((status, headers) => {
    if (status < 200 || status >= 400) return
    const { received: { authority, path, query } } = exchange
    const targets = [targetOf(authority, path + query)]
    for (const name of ['location', 'content-location']) {
      const value = valueOf(headers, name)
      const url = value === undefined ? null : URL.parse(value, `http://${authority === '' ? 'localhost' : authority}${path}`)
      if (url !== null && url.host === authority) targets.push(targetOf(authority, url.pathname + url.search))
    }
    cache.change(targets)
  })
}
