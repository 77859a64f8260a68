import { removeHeader, removeHeaders, type FlatHeaders } from '../pipeline/headers.ts'
import type { HeaderChanges } from '../../table/shape.ts'

/** Changes headers in place. */
export function headersChanged({ remove, set, add }: HeaderChanges): (headers: FlatHeaders) => void {
  const gone = new Set([...remove, ...set.map(({ name }) => name)])
  const more = [...set, ...add].flatMap(({ name, value }) => [name, value])
  return (headers) => {
    if (gone.size === 1) for (const name of gone) removeHeader(headers, name)
    else if (gone.size > 1) removeHeaders(headers, (name) => gone.has(name))
    headers.push(...more)
  }
}
