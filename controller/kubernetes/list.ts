import { isObject, isRecord, type Api, type RawObject } from './api.ts'
import { troubleOf, type Trouble } from './trouble.ts'

const PAGE = 500
/** A list of this many restarts never ends: the server compacts faster than we read. The caller backs off instead. */
const MAX_RESTARTS = 3

export type Listed = Readonly<{ resourceVersion: string }>

export type Target = Readonly<{ api: Api; path: string; labelSelector?: string }>

/**
 * Reads every object of a kind in pages. `onStart` is called before the first page and again when the server has
 * forgotten the list half-way (410), since what came before then belongs to another moment.
 */
export async function list(
  target: Target,
  signal: AbortSignal,
  onStart: () => void,
  onObject: (object: RawObject) => void,
): Promise<Listed | Trouble> {
  let limit = PAGE
  let token = ''
  let restarts = 0
  onStart()
  for (;;) {
    const answer = await target.api.call({
      path: target.path,
      // No resourceVersion: the newest state, never older than one seen before.
      query: {
        limit,
        ...(token === '' ? {} : { continue: token }),
        ...(target.labelSelector === undefined ? {} : { labelSelector: target.labelSelector }),
      },
      signal,
    })
    if (answer.tooLarge && limit > 1) {
      limit = Math.ceil(limit / 4)
      continue
    }
    if (answer.status === 410 && token !== '' && ++restarts < MAX_RESTARTS) {
      token = ''
      onStart()
      continue
    }
    if (answer.status !== 200) return troubleOf(answer)
    const page = readPage(answer.body)
    if (page === undefined) return { why: 'garbled', message: 'a list that is none' }
    for (const item of page.items) onObject(item)
    if (page.continue === '') return { resourceVersion: page.resourceVersion }
    token = page.continue
  }
}

/**
 * Whether the server's history ends before a version that it had: then where it does. By a list of one, which is of the newest
 * state, as any list is. Versions that are no numbers cannot be compared.
 */
export async function setBackTo(target: Target, from: string, signal: AbortSignal): Promise<string | Trouble | undefined> {
  const { api, path, labelSelector } = target
  const answer = await api.call({ path, query: { limit: 1, ...(labelSelector !== undefined && { labelSelector }) }, signal })
  if (answer.status !== 200) return troubleOf(answer)
  const to = readPage(answer.body)?.resourceVersion
  if (to === undefined) return { why: 'garbled', message: 'a list that is none' }
  return [from, to].every(version => /^\d{1,15}$/.test(version)) && Number(to) < Number(from) ? to : undefined
}

type Page = Readonly<{ items: readonly RawObject[]; resourceVersion: string; continue: string }>

function readPage(body: unknown): Page | undefined {
  if (!isRecord(body) || !isRecord(body['metadata'])) return undefined
  const { resourceVersion, continue: token } = body['metadata']
  // Go writes an empty list as null.
  const items = body['items'] ?? []
  if (typeof resourceVersion !== 'string' || !Array.isArray(items) || !items.every(isObject)) return undefined
  return { items, resourceVersion, continue: typeof token === 'string' ? token : '' }
}
