import { randomBytes } from 'node:crypto'
import { nameAsked } from '../../pipeline/asked.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import type { BuiltRule, BuiltVariant } from '../../pipeline/rule.ts'
import type { Principal } from '../../pipeline/principal.ts'
import { numberMember, quotable, textMember, toldAgain, type Members, type Told } from '../members.ts'

/** Characters of what callers choose the length of. */
const textMax = 256

/** Of a record that stands alone: who asked for what, and what served it. Every member is there, null where there is nothing to say. */
export const whoMembers = alike((exchange) =>
  callerMembers(exchange.principal) + nullable('route', exchange.rule?.route) + nullable('rule', exchange.rule?.name) + nullable('variant', exchange.variant?.name) + modelMembers(exchange))

/** The part of it that the access log says nothing of. */
export const whoElseMembers = alike((exchange) => callerMembers(exchange.principal) + modelMembers(exchange))

type ToldOf = Pick<Exchange, 'principal' | 'asked'> & Readonly<{ named: ReturnType<Exchange['model']>; version: string | undefined }> & Told

/** What was told last of a variant, or of a rule without one, is kept: records that come one after the other are mostly alike. */
function alike(tell: (exchange: Exchange) => Members): (exchange: Exchange) => Members {
  const told = new WeakMap<BuiltVariant | BuiltRule, ToldOf>()
  return (exchange) => {
    const of = exchange.variant ?? exchange.rule
    const named = exchange.model()
    const last = of && told.get(of)
    if (last !== undefined && last.principal === exchange.principal && last.asked === exchange.asked && last.named === named && last.version === exchange.modelVersion) {
      return toldAgain(last)
    }
    const members = tell(exchange)
    if (of !== undefined) told.set(of, { principal: exchange.principal, asked: exchange.asked, named, version: exchange.modelVersion, members, again: false })
    return members
  }
}

const callerMembers = (principal: Principal | undefined): Members =>
  nullable('consumer', bounded(principal?.consumer || undefined)) + textMember('tier', bounded(principal?.tier))

const modelMembers = (exchange: Exchange): Members =>
  nullable('model', modelTold(exchange)) + nullable('version', bounded(exchange.modelVersion ?? exchange.model()?.version))

/** What the request names, else what its match is for. */
export const modelTold = (exchange: Exchange): string | undefined => bounded(exchange.model()?.name ?? nameAsked(exchange))

/** What it came to: null is what nothing counted. */
export function usedMembers({ used, rows, charged, cached }: Exchange): Members {
  if (used === undefined && rows === undefined && charged === undefined && cached === undefined) return ',"tokens":null,"rows":null,"cost":null'
  return (used === undefined
    ? ',"tokens":null'
    : `,"tokens":${used.inputTokens + used.outputTokens},"input_tokens":${used.inputTokens},"output_tokens":${used.outputTokens}${numberMember('cached_tokens', used.cachedTokens || undefined)}`)
    + `,"rows":${rows ?? 'null'},"cost":${charged ?? 'null'}`
    + (cached === undefined || cached.billed === undefined ? '' : `,"billed":${cached.billed}`)
}

/** Of this process, and of no other. */
const process = randomBytes(6).toString('base64url')
let count = 0

/** What tells a record that comes twice from two records: request ids are the callers' to choose. */
export const idMember = (): Members => `,"id":"${process}-${(++count).toString(36)}"`

/** How it ended. */
export const endMembers = ({ error, response: { grpcStatus } }: Exchange, status: number): Members =>
  `,"status":${status}${textMember('code', error)}${numberMember('grpc_status', grpcStatus)}`

const nullable = (name: string, value: string | undefined): Members => value === undefined ? `,"${name}":null` : `,"${name}":"${quotable(value)}"`

const bounded = <Text extends string | undefined>(text: Text): string | Text =>
  text !== undefined && text.length > textMax ? `${text.slice(0, textMax)}…` : text
