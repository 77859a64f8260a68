import * as v from 'valibot'
import { ConsoleState, type Look } from '../../table/console.ts'
import { reach } from '../reach.ts'
import { shotOf, type Shot } from './rows.ts'

export type Wanted = Readonly<{
  url: URL
  sort: Look['sort']
  namespace: string | undefined
  /** Words in the names of rules. */
  filter: string
  signal: AbortSignal
}>

/** Milliseconds for an answer. */
const patience = 5_000
/** Rules at once: a console lists no more. */
const rulesMax = 100

/** What is to be seen now. Throws a sentence where nothing is. */
export async function look(wanted: Wanted): Promise<Shot> {
  const { namespace, filter } = wanted
  const words = `${namespace === undefined ? '' : `${namespace}/ `}${filter}`.trim()
  const only = (route: string) => namespace === undefined || route.startsWith(`${namespace}/`)
  const [traffic, limits, endpoints] = await Promise.all([
    ask(wanted, 'traffic', wanted.sort, words), ask(wanted, 'limits', 'errors', namespace === undefined ? '' : `${namespace}/`), ask(wanted, 'endpoints', 'errors', words),
  ])
  return shotOf(traffic, limits, endpoints, only)
}

async function ask({ url, signal }: Wanted, view: Look['view'], sort: Look['sort'], search: string): Promise<ConsoleState> {
  const asked = new URL('/console/state', url)
  asked.search = String(new URLSearchParams({ view, sort, search, limit: String(rulesMax) }))
  const limited = AbortSignal.any([signal, AbortSignal.timeout(patience)])
  const answer = await reach(asked, { signal: limited })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${url.origin} answers ${answer.status}: ${text.trim().slice(0, 300)}`)
  const state = v.safeParse(v.pipe(v.string(), v.parseJson(), ConsoleState), text)
  if (!state.success) throw new Error(`${url.origin} answers what no console of this release does`)
  return state.output
}
