import * as v from 'valibot'
import { ITEMS_MAX, Look, REACH_MAX } from '../table/console.ts'

/** What the page asks for, from the query of its address; a string says what is wrong with it. */
export function readLook(query: string): Look | string {
  const given = new URLSearchParams(query)
  const look = v.safeParse(Look, {
    view: given.get('view') ?? 'traffic',
    search: given.get('search') ?? '',
    sort: given.get('sort') ?? 'requests',
    offset: Number(given.get('offset') ?? 0),
    limit: Number(given.get('limit') ?? 25),
  })
  if (!look.success) return `${v.getDotPath(look.issues[0]) ?? 'the query'}: ${look.issues[0].message}`
  const { offset, limit } = look.output
  if (limit > ITEMS_MAX) return `limit: at most ${ITEMS_MAX}`
  return offset + limit > REACH_MAX ? `offset: only the first ${REACH_MAX} are listed; search for more` : look.output
}
