import type { Auth } from '../../table/principal.ts'
import { unanswered, unmade } from '../explain/question.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import { Exchange } from '../pipeline/exchange.ts'
import { anonymous, type Principal, type Verdict } from '../pipeline/principal.ts'
import { screen } from '../pipeline/screen.ts'
import type { BodyValue, Named } from '../protocols/scan/scan.ts'
import { modelOf } from '../protocols/path.ts'
import type { Active } from '../store.ts'
import type { Recorded } from './recorded.ts'

/** A recorded request on its way through a table; what it is asked for and the record does not have is noted. */
export class Replayed extends Exchange {
  readonly recorded: Recorded
  /** What would have to be known to be certain. */
  readonly unknown = new Set<string>()
  readonly #named: Named | undefined

  constructor(recorded: Recorded, tableVersion: string) {
    const { method, path, host, client, headers, parameters } = recorded
    const query = new URLSearchParams([...parameters].flatMap(([name, value]): [string, string][] => value === null ? [] : [[name, value]])).toString()
    const known = Object.fromEntries([...headers].flatMap(([name, value]) => value === null || name === 'host' ? [] : [[name, value]]))
    const request = unmade({ method, url: query === '' ? path : `${path}?${query}`, headers: { ...known, ...(host !== '' && { host }) }, source: client })
    const received = screen(request)
    if ('code' in received) throw new Unreadable(received.detail)
    super(request, unanswered, received, tableVersion, 'replay', 0)
    this.recorded = recorded
    this.#named = modelOf(path) ?? (recorded.model === undefined ? undefined : { name: recorded.model, ...(recorded.modelVersion !== undefined && { version: recorded.modelVersion }) })
  }

  override header(name: string): string | undefined {
    if (name !== 'host' && !this.recorded.headers.has(name)) this.unknown.add(`header ${name}`)
    return super.header(name)
  }

  override parameter(name: string): string | undefined {
    if (!this.recorded.parameters.has(name.toLowerCase())) this.unknown.add(`query ${name}`)
    return super.parameter(name)
  }

  override model(): Named | undefined {
    if (this.#named === undefined && this.method === 'POST') this.unknown.add('model')
    return this.#named
  }

  override get modelUnread(): boolean {
    return false
  }

  override get modelInDoubt(): boolean {
    return false
  }

  override value(pointer: string): BodyValue | undefined {
    this.unknown.add(`body ${pointer}`)
    return undefined
  }

  override get country(): undefined {
    this.unknown.add('country')
    return undefined
  }
}

/** The record is of a request that no door would have let through. */
export class Unreadable extends Error {}

const refused = failure('unauthenticated', 'The request does not say who calls, or cannot prove it.')

/**
 * Who a recorded caller is by these terms. A holder of an API key is who the key is of by now, where the proposed
 * manifests have keys at all; tokens are taken for what they were.
 */
export function callerBy({ anyOf, anonymous: lets }: Auth, { recorded, unknown }: Replayed, { credentials }: Active): Verdict {
  const { caller, code, cause } = recorded
  if (code === 'unauthenticated' || code === 'token_expired') return cause === 'no credential' && lets ? anonymous : wrong(code)
  if (caller === 'untold' || caller === 'unasked') {
    unknown.add('who calls')
    return caller === 'untold' || lets ? anonymous : refused
  }
  if (caller.via === 'anonymous') return lets ? anonymous : refused
  const fitting = anyOf.filter(({ kind }) => kind === caller.via)
  if (fitting.length === 0) return refused
  const { via, consumer, groups, tier, credential } = caller
  const taken = { ...anonymous, via, consumer, groups, tier, ...(credential !== undefined && { credential }) }
  if (via !== 'apiKey') return tokenOf(taken, unknown)
  if ([...credentials.values()].every(({ keys }) => keys.length === 0)) return taken
  for (const one of fitting) {
    const key = one.kind === 'apiKey' ? credentials.get(one.set)?.keys.find((of) => of.consumer === consumer && (credential === undefined || of.name === credential)) : undefined
    if (key !== undefined && (key.expires ?? Number.POSITIVE_INFINITY) > recorded.at) return { ...anonymous, via, consumer, groups: key.groups, tier: key.tier, credential: key.name }
  }
  return refused
}

const wrong = (code: 'unauthenticated' | 'token_expired'): Failure => ({ ...refused, code })

/** What else a token says is in no record. */
function tokenOf({ via, consumer, groups, tier }: Principal, unknown: Set<string>): Principal {
  return {
    via, consumer, groups, tier,
    get scopes() {
      unknown.add('scopes')
      return []
    },
    claims: new UnknownClaims(unknown),
  }
}

class UnknownClaims extends Map<string, unknown> {
  readonly #unknown: Set<string>

  constructor(unknown: Set<string>) {
    super()
    this.#unknown = unknown
  }

  override get(name: string): unknown {
    this.#unknown.add(`claim ${name}`)
    return undefined
  }
}
