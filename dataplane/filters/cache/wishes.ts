import type { Entry } from '../../cache/entry.ts'
import { directivesOf, timeOf, type Directives } from '../../cache/directives.ts'
import type { Exchange } from '../../pipeline/exchange.ts'

/** What the headers of a request say to a cache, found in one look. */
export type Wishes = {
  control: Directives
  /** Of the body; and which of several forms of the answer the caller takes. */
  type: string
  encoding: string
  accept: string
  /** Bytes of JSON before tensors in binary (Triton's binary data extension). */
  jsonLength: string
  grpc: string
  /** Credentials of the caller's own, which the backend is shown. */
  credentials: string[]
  ifNoneMatch: string | undefined
  ifModifiedSince: string | undefined
  /** Asks for a part, or under a condition that only the backend can judge. */
  partly: boolean
}

/** @param own the cookie by which the rule keeps callers on their variants: it tells the backend nothing */
export function wishesOf({ received: { headers } }: Exchange, own: string | undefined): Wishes {
  const wishes: Wishes = {
    control: nothing, type: '', encoding: '', accept: '', jsonLength: '', grpc: '', credentials: noCredentials, ifNoneMatch: undefined, ifModifiedSince: undefined, partly: false,
  }
  let control: string | undefined
  let pragma = false
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1] ?? ''
    switch (headers[i]) {
      case 'cache-control':
        control = control === undefined ? value : `${control},${value}`
        break
      case 'pragma':
        pragma = /(?:^|[\s,])no-cache(?:$|[\s,])/i.test(value)
        break
      case 'content-type':
        wishes.type = value
        break
      case 'content-encoding':
        wishes.encoding += value
        break
      case 'accept':
        wishes.accept += value
        break
      case 'inference-header-content-length':
        wishes.jsonLength = value
        break
      case 'grpc-encoding':
      case 'grpc-accept-encoding':
        wishes.grpc += `${headers[i]}:${value}\n`
        break
      case 'authorization':
        wishes.credentials = [...wishes.credentials, value]
        break
      case 'cookie': {
        const rest = own === undefined ? value : withoutCookie(value, own)
        if (rest !== '') wishes.credentials = [...wishes.credentials, rest]
        break
      }
      case 'if-none-match':
        wishes.ifNoneMatch = wishes.ifNoneMatch === undefined ? value : `${wishes.ifNoneMatch},${value}`
        break
      case 'if-modified-since':
        wishes.ifModifiedSince = value
        break
      case 'range':
      case 'if-match':
      case 'if-unmodified-since':
      case 'if-range':
        wishes.partly = true
        break
      default:
    }
  }
  // RFC 9111 section 5.4.
  if (control !== undefined) wishes.control = directivesOf(control)
  else if (pragma) wishes.control = noCache
  return wishes
}

const nothing: Directives = new Map()
const noCache: Directives = new Map([['no-cache', '']])
const noCredentials: string[] = []

function withoutCookie(value: string, name: string): string {
  return value.split(';').map((pair) => pair.trim()).filter((pair) => pair !== '' && !pair.startsWith(`${name}=`)).join('; ')
}

/** Whether an answer of that age is one that the caller takes (RFC 9111 section 5.2.1). Milliseconds. */
export function takes({ control }: Wishes, entry: Entry, age: number): boolean {
  const { lifetime, strict, always } = entry
  if (always) return false
  if (control.size === 0) return age < lifetime
  if (control.has('no-cache')) return false
  // Without a number: however old it is.
  const beyond = strict ? 0 : control.get('max-stale') === '' ? Number.POSITIVE_INFINITY : timeOf(control, 'max-stale') ?? 0
  if (age >= lifetime && (beyond === 0 || age - lifetime > beyond || age >= entry.kept)) return false
  return age <= (timeOf(control, 'max-age') ?? age) && lifetime - age >= (timeOf(control, 'min-fresh') ?? Number.NEGATIVE_INFINITY)
}

/** Whether an answer of that age may stand in for a backend that fails (RFC 5861 section 4). */
export function settlesFor({ control }: Wishes, { lifetime, staleIfError, always }: Entry, age: number): boolean {
  if (always || age >= lifetime + staleIfError) return false
  return !control.has('no-cache') && !control.has('max-age') && !control.has('min-fresh')
}
