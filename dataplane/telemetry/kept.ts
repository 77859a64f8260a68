import { rawHeader } from '../pipeline/door.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { Members } from './members.ts'

/** Headers and query parameters, by name, that the records of the audit log have beside: what `modelroute replay` needs to decide anew. */
export type Kept = Readonly<{ headers: readonly string[]; parameters: readonly string[] }>

/** Characters of one value. */
const valueMax = 1024

/** As they came, before anything was changed; null where a request has none. Never that in which its rule takes a key. */
export function keptMembers({ headers, parameters }: Kept): (exchange: Exchange) => Members {
  return ({ request, received, rule }) => {
    const may = (name: string) => rule?.keysIn.has(name) !== true
    const query = parameters.length > 0 ? new URLSearchParams(received.query) : undefined
    return objectMember('headers', headers.filter(may), (name) => rawHeader(request, name))
      + objectMember('query', parameters.filter(may), (name) => query?.get(name) ?? undefined)
  }
}

function objectMember(of: string, names: readonly string[], valueOf: (name: string) => string | undefined): Members {
  return names.length === 0 ? '' : `,"${of}":${JSON.stringify(Object.fromEntries(names.map((name) => [name, valueOf(name)?.slice(0, valueMax) ?? null])))}`
}
