import type { Match, Route, Rule } from '../../table/route.ts'
import { foresee } from '../explain/explain.ts'
import type { Standing } from '../limits/limiter.ts'
import type { ErrorCode } from '../pipeline/errors.ts'
import { namesModelInBody } from '../protocols/openai.ts'
import { modelOf, protocolOf, type Protocol } from '../protocols/path.ts'
import { pathOfV1 } from '../protocols/v1.ts'
import { pathOfV2 } from '../protocols/v2.ts'
import type { Table } from '../runtime.ts'
import { admits, principalOf, type Holder, type Keys } from './holder.ts'

/** Where a rule looks for the key. */
export type Place = Readonly<{ in: 'Header' | 'Query' | 'Bearer'; name: string }>

/** Something that the holder may call. */
export type Offer = Readonly<{
  route: string
  rule: string
  /** Empty where neither the match nor its path names one. */
  model: string
  protocol: Protocol
  method: string
  path: string
  /** Where the route names a host; otherwise the one that is asked now. */
  host: string | undefined
  headers: readonly (readonly [string, string])[]
  /** Undefined: no key is asked for. */
  place: Place | undefined
  limits: readonly Standing[]
  /** Why it would be refused just now. */
  code: ErrorCode | undefined
}>

/** `grpc`: it is a call of that. */
export type Sample = Pick<Offer, 'model' | 'protocol' | 'method' | 'path' | 'headers'> & Readonly<{ version: string | undefined; grpc: boolean }>

/** As many as a person reads. */
const offersMax = 100
/** Codes of what is only so at the moment, or for the request that is imagined. */
const passing: ReadonlySet<ErrorCode | undefined> = new Set([
  undefined, 'rate_limited', 'quota_exhausted', 'queue_timeout', 'no_endpoints', 'circuit_open', 'overloaded', 'backend_unresolved', 'limit_store_unavailable', 'audit_unavailable',
])

/** What the rules of the holder's tenant let them call, each tried without doing it. Nothing of other tenants. */
export async function offersOf(table: Table, keys: Keys, holder: Holder, authority: string): Promise<readonly Offer[]> {
  const offers = new Map<string, Offer>()
  for (const { route } of table.routes()) {
    if (route.tenant !== holder.tenant) continue
    for (const rule of route.rules) {
      const place = placeOf(rule, keys, holder)
      if (place === 'none') continue
      for (const match of rule.matches) {
        if (offers.size >= offersMax) return [...offers.values()]
        for (const sample of samplesOf(match, modelsIn(rule))) {
          if (sample.grpc) continue
          const offer = await offerOf(table, holder, authority, { route, rule, place, sample })
          if (offer) offers.set(`${offer.route} ${offer.rule} ${offer.model} ${offer.path}`, offer)
        }
      }
    }
  }
  return [...offers.values()].toSorted((a, b) => (a.model || a.path).localeCompare(b.model || b.path))
}

type Tried = Readonly<{ route: Route; rule: Rule; place: Place | undefined; sample: Sample }>

async function offerOf(table: Table, holder: Holder, authority: string, { route, rule, place, sample }: Tried): Promise<Offer | undefined> {
  const [name] = route.hostnames.filter((each) => !each.startsWith('*'))
  const port = /:\d+$/.exec(authority)?.[0] ?? ''
  const host = name === undefined ? undefined : `${name}${port}`
  const body = sample.protocol === 'OpenAI' ? JSON.stringify({ model: sample.model }) : '{}'
  const foreseen = await foresee(table, {
    method: sample.method,
    url: `http://${host ?? authority}${sample.path}`,
    headers: { 'content-type': 'application/json', ...Object.fromEntries(sample.headers) },
    ...(sample.method === 'POST' && { body }),
  }, principalOf(holder))
  // Another rule takes it, or this one does not let them.
  if (foreseen.route !== route.id || foreseen.rule !== rule.name || !passing.has(foreseen.code)) return undefined
  return { ...sample, route: route.id, rule: rule.name, host, place, limits: foreseen.limits, code: foreseen.code }
}

function placeOf({ auth }: Rule, keys: Keys, holder: Holder): Place | undefined | 'none' {
  if (auth === undefined) return undefined
  for (const credential of auth.anyOf) {
    if (credential.kind === 'apiKey' && admits(keys, credential.set, holder)) return { in: credential.in, name: credential.name }
  }
  return auth.anonymous ? undefined : 'none'
}

/** Requests that a rule is for, as far as they can be told from its matches and permissions. */
export function samplesIn(rule: Rule): readonly Sample[] {
  return rule.matches.flatMap((match) => samplesOf(match, modelsIn(rule)))
}

/** What refuses a request is only so at the moment, or nothing does. */
export function isPassing(code: ErrorCode | undefined): boolean {
  return passing.has(code)
}

const service = '/inference.GRPCInferenceService'

/** Requests that the match is for, as far as they can be told from it. */
function samplesOf({ path: { type, value }, method, headers, model }: Match, listed: readonly string[]): readonly Sample[] {
  if (type === 'Regex') return []
  const base = value.replace(/\/+$/, '')
  const named = modelOf(base)
  const version = model?.version ?? named?.version
  const given = headers.flatMap((test) => (test.type === 'Exact' ? [[test.name, test.value] as const] : []))
  const sample = (model: string, path: string, protocol: Protocol = protocolOf(path)): Sample =>
    ({ model, version, headers: given, method: method ?? 'POST', path, protocol, grpc: false })
  const own = model?.name ?? named?.name
  const names = own === undefined ? listed : [own]
  const call = `${service}/ModelInfer`
  if (base === service || base === call) return names.map((name) => ({ ...sample(name, call), grpc: true }))
  if (names.length > 0 && namesModelInBody(base)) return names.map((name) => sample(name, base))
  if (type === 'Exact' || (named !== undefined && named.rest !== '')) return [sample(own ?? '', value)]
  const openAI = base === '' || /^(\/openai)?(\/v1)?$/.test(base)
  if (names.length === 0) return [openAI && base !== '' ? sample('', `${base.replace(/\/v1$/, '')}/v1/chat/completions`) : sample('', value)]
  return names.flatMap((name) => [
    ...(base === '' || base === '/v2' || base === '/v2/models' || named?.protocol === 'V2' ? [sample(name, pathOfV2(name, version, '/infer'))] : []),
    ...(base === '/v1/models' || named?.protocol === 'V1' ? [sample(name, pathOfV1(name, version, ':predict'))] : []),
    ...(openAI ? [sample(name, `${base.replace(/\/v1$/, '')}/v1/chat/completions`)] : []),
  ])
}

/** The models that the rule's permissions name. */
const modelsIn = ({ authorization }: Rule): readonly string[] => [...new Set(authorization?.flatMap(({ models }) => models))]
