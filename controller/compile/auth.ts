import type { Auth, Callee, Credential } from '../../table/principal.ts'
import type { Problem } from '../sources/snapshot.ts'
import { keySetOf } from './credentials.ts'
import { parseDuration } from './durations.ts'
import { sorted } from './names.ts'
import type { Needs } from './needs.ts'
import { invalid, quote } from './problems.ts'
import { useSecret } from './secrets.ts'
import type { AuthSpec, CredentialSpec } from './spec.ts'
import type { BackendContext } from './targets.ts'
import { calleeOf, calleeProblem } from './urls.ts'

type Collected = Readonly<{ needs: Needs; problems: Problem[] }>

/** Who may call. What a credential refers to and is not there costs nobody else: whoever calls with it gets 503. */
export function compileAuth(spec: AuthSpec, place: string, context: BackendContext, collected: Collected): Auth {
  const anyOf = (spec.anyOf ?? []).flatMap((credential, at) =>
    compileCredential(credential, `${place}.anyOf[${at}]`, context, collected) ?? [])
  const anonymous = spec.anonymous ?? false
  if (!spec.anyOf?.length && !anonymous) {
    collected.problems.push(invalid(place, 'lets nobody in; give anyOf or anonymous: true'))
  }
  return { anyOf, anonymous }
}

function compileCredential(spec: CredentialSpec, place: string, context: BackendContext, collected: Collected): Credential | undefined {
  if (spec.apiKey) return compileApiKey(spec.apiKey, `${place}.apiKey`, context, collected)
  if (spec.jwt) return compileJwt(spec.jwt, `${place}.jwt`, context, collected)
  if (spec.introspection) return compileIntrospection(spec.introspection, `${place}.introspection`, context, collected)
  collected.problems.push(invalid(place, 'names no kind of credential'))
  return undefined
}

type Kind<K extends keyof CredentialSpec> = NonNullable<CredentialSpec[K]>

function compileApiKey(spec: Kind<'apiKey'>, place: string, { namespace }: BackendContext, { needs, problems }: Collected): Credential {
  const source = keySetOf(namespace, spec.selector?.matchLabels ?? {})
  needs.keySets.push(source)
  if (spec.in !== 'Bearer' && spec.name === undefined) {
    problems.push(invalid(`${place}.name`, `is required for ${spec.in}, such as x-api-key`))
  }
  const name = spec.in === 'Bearer' ? '' : spec.name ?? ''
  const header = name.toLowerCase()
  if (spec.in === 'Header' && (framing.has(header) || header.startsWith('x-modelroute-'))) {
    problems.push(invalid(`${place}.name`, `${quote(name)} is a header with a meaning of its own; choose one such as x-api-key`))
  }
  return { kind: 'apiKey', in: spec.in, name: spec.in === 'Header' ? header : name, set: source.id }
}

/** Headers that a request cannot do without, or that never come as far as a filter: no key is taken out of them. */
const framing = new Set([
  'host', 'content-length', 'content-type', 'transfer-encoding', 'connection', 'upgrade', 'te', 'trailer', 'expect', 'keep-alive',
  'proxy-authorization', 'x-request-id', 'forwarded', 'x-real-ip', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto',
])

function compileJwt(spec: Kind<'jwt'>, place: string, context: BackendContext, collected: Collected): Credential {
  const { problems } = collected
  const algorithms = sorted(spec.algorithms ?? ['RS256'])
  const { secretRef, uri } = spec.jwks ?? {}
  if (!secretRef && algorithms.some((algorithm) => algorithm.startsWith('HS'))) {
    // What anybody can fetch is no shared secret.
    problems.push(invalid(`${place}.algorithms`, 'HS algorithms need jwks.secretRef: their key is a secret'))
  }
  const keys = secretRef
    ? { from: 'secret' as const, secret: secretOf(secretRef, [secretRef.key ?? 'jwks'], `${place}.jwks.secretRef`, context, collected), key: secretRef.key ?? 'jwks' }
    : uri === undefined
      ? { from: 'discover' as const, ...compileCallee(spec.issuer, `${place}.issuer`, context, problems) }
      : { from: 'uri' as const, ...compileCallee(uri, `${place}.jwks.uri`, context, problems) }
  return {
    kind: 'jwt',
    issuer: spec.issuer,
    audiences: sorted(spec.audiences),
    algorithms,
    keys,
    leeway: milliseconds(spec.leeway, 30_000, `${place}.leeway`, problems),
    claims: claimsOf(spec.claims),
  }
}

function compileIntrospection(spec: Kind<'introspection'>, place: string, context: BackendContext, collected: Collected): Credential {
  const { problems } = collected
  const client = secretOf(spec.clientSecretRef, ['client_id', 'client_secret'], `${place}.clientSecretRef`, context, collected)
  return {
    kind: 'introspection',
    endpoint: compileCallee(spec.endpoint, `${place}.endpoint`, context, problems),
    client,
    cache: milliseconds(spec.cache, 30_000, `${place}.cache`, problems),
    claims: claimsOf(spec.claims),
  }
}

/**
 * What is not to be had is named `none`, which no Secret is: under its own id the proxy might have it, for a route of
 * another tenant that may.
 */
function secretOf(
  ref: Parameters<typeof useSecret>[0],
  keys: readonly string[],
  place: string,
  context: BackendContext,
  { needs, problems }: Collected,
): string {
  const { id, why } = useSecret(ref, keys, place, context, { needs, problems })
  return why === undefined ? id : 'none'
}

/** An address that the gateway itself calls, when the operator admits its host. */
function compileCallee(url: string, place: string, { options }: BackendContext, problems: Problem[]): Callee {
  const callee = calleeOf(url, options)
  if (!('why' in callee)) return { ...callee, url }
  problems.push(calleeProblem(place, callee))
  return { url, loopback: false }
}

function claimsOf(claims: Kind<'jwt'>['claims']): Extract<Credential, { kind: 'jwt' }>['claims'] {
  return {
    consumer: claims?.consumer ?? 'sub',
    groups: claims?.groups ?? 'groups',
    tier: claims?.tier ?? 'tier',
    scopes: claims?.scopes ?? 'scope',
  }
}

function milliseconds(text: string | undefined, otherwise: number, place: string, problems: Problem[]): number {
  if (text === undefined) return otherwise
  const value = parseDuration(text)
  if (value === null) problems.push(invalid(place, `${quote(text)} is no duration, such as 30s`))
  return value ?? otherwise
}
