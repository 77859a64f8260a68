import { readBody } from '../pipeline/body.ts'
import { failure, requestTooLarge, type ErrorCode, type Failure } from '../pipeline/errors.ts'
import type { Exchange, Stage } from '../pipeline/exchange.ts'
import type { Proof } from '../filters/backend_credentials/proof.ts'
import { isPlainValue, removeHeader, type FlatHeaders } from '../pipeline/headers.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import type { BodyEditor } from '../protocols/edit/editor.ts'
import { namesModelInBody } from '../protocols/openai.ts'
import { isForeign } from '../translate/index.ts'
import type { Backend } from './backend.ts'
import { gatherMax } from './body.ts'
import { changed, renamingOf, type Changed, type Renaming } from './renamed.ts'
import { translate } from './translated.ts'

/** Where a request goes, once its variant is chosen. */
export type Destination = Readonly<{
  rule: BuiltRule
  variant: BuiltVariant
  backend: Backend
  /** The backend is spoken to in gRPC: its answers say how it went in `grpc-status`. Undefined: as the caller does it. */
  grpc: boolean | undefined
  /** All is sent over HTTP/2, and not only gRPC. */
  http2: boolean
  method: string
  path: string
  headers: FlatHeaders
  /** What goes to this variant in place of the request's own body; in pieces, or null: nothing. */
  body: Buffer | readonly Buffer[] | null | undefined
  /** Changes that body, or the request's own, on the way of each try; undefined: nothing does. */
  edit: (() => BodyEditor) | undefined
  /** What its answers go through before any other stage: they are brought into the form that the caller speaks. */
  stage: Stage | undefined
}>

/** Everything that is said of a request by its variant: in its answer, the log and the metrics. */
export function assign(exchange: Exchange, rule: BuiltRule, variant: BuiltVariant): void {
  exchange.variant = variant
  exchange.series = rule.series(exchange.asked, variant)
  const version = variant.model?.version ?? exchange.model()?.version
  // The path may name any; only what can stand in a header is sent back in one.
  exchange.modelVersion = version !== undefined && isPlainValue(version) ? version : undefined
}

/** Another variant is asked; `error`: why not the one before. */
export function passOn(exchange: Exchange, rule: BuiltRule, to: BuiltVariant, error: ErrorCode): void {
  exchange.series?.passedOn(to.name, error)
  move(exchange, rule, to)
  exchange.fallback = to.name
  exchange.cause = ''
}

/** None of those that were asked could answer: the request is again that of the variant that was chosen for it. */
export function goBack(exchange: Exchange, rule: BuiltRule, to: BuiltVariant): void {
  move(exchange, rule, to)
  exchange.fallback = undefined
}

function move(exchange: Exchange, rule: BuiltRule, to: BuiltVariant): void {
  if (exchange.series) exchange.series.inFlight--
  assign(exchange, rule, to)
  if (exchange.series) exchange.series.inFlight++
}

/** No variant has a weight. */
export const noBackend = failure('no_endpoints', 'No backend of this route takes requests.')
const unproven = failure('no_endpoints', 'The backend cannot be called at present.')

/** What the backend of a variant is sent, or why it cannot be; at once where nobody has to be asked. Never rejects. */
export function destinationOf(exchange: Exchange, rule: BuiltRule, variant: BuiltVariant): Destination | Failure | Promise<Destination | Failure> {
  if (exchange.fits === undefined) return destinationFor(exchange, rule, variant)
  return exchange.fits(rule, variant).then((unfit) => unfit ?? destinationFor(exchange, rule, variant))
}

function destinationFor(exchange: Exchange, rule: BuiltRule, variant: BuiltVariant): Destination | Failure | Promise<Destination | Failure> {
  const { target, backend, model } = variant
  if (target.kind === 'unresolved' || backend === undefined) {
    exchange.cause = target.kind === 'unresolved' ? target.why : ''
    return failure('backend_unresolved', 'The backend of this request does not resolve.')
  }
  const { path } = exchange.received
  if (rule.renames && exchange.body === undefined && namesModelInBody(path)) {
    // It could not be read any more once the first has it.
    const body = readBody(exchange)
    if (body instanceof Promise) return body.then((settled) => 'code' in settled ? settled : destinationFor(exchange, rule, variant))
    if ('code' in body) return body
  }
  if (variant.protocol !== undefined || rule.translates) {
    if (isForeign(exchange, variant.protocol)) return translated(exchange, rule, variant, backend)
    if (rule.translates && exchange.body === undefined && rule.variants.some(({ protocol }) => isForeign(exchange, protocol))) {
      const body = readBody(exchange)
      if (body instanceof Promise) return body.then((settled) => 'code' in settled ? settled : destinationFor(exchange, rule, variant))
      if ('code' in body) return body
    }
  }
  if (model === undefined) return destined(exchange, rule, variant, backend, undefined, undefined)
  const renaming = renamingOf(exchange.received, model)
  if ('code' in renaming) return renaming
  if (renaming.place === undefined) return destined(exchange, rule, variant, backend, renaming, undefined)
  const body = changed(exchange, rule, renaming.place, model)
  return body instanceof Promise ? body.then((settled) => destined(exchange, rule, variant, backend, renaming, settled))
    : destined(exchange, rule, variant, backend, renaming, body)
}

function destined(
  exchange: Exchange,
  rule: BuiltRule,
  variant: BuiltVariant,
  backend: Backend,
  renaming: Renaming | undefined,
  change: Changed | Failure | undefined,
): Destination | Failure | Promise<Destination | Failure> {
  if (change !== undefined && 'code' in change) return change
  const { received } = exchange
  const { target, prove } = variant
  const edit = change !== undefined && 'edit' in change ? change : undefined
  // A body that was read has been measured, and is sent as it is.
  const bodyLength = exchange.body?.length ?? received.bodyLength
  if (bodyLength !== 'chunked' && bodyLength > rule.requestMax) return requestTooLarge(rule.requestMax)
  // Where another variant may come after this one, what it is sent must not be mixed with what this one is.
  const headers: FlatHeaders = renaming?.headers ?? (rule.next === undefined && change === undefined ? received.headers : [...received.headers])
  const authority = (target.kind === 'group' ? target.host : undefined) ?? received.authority
  if (authority !== '') headers.push('host', authority)
  if (bodyLength !== 'chunked' && bodyLength > gatherMax) {
    if (edit === undefined) headers.push('content-length', String(bodyLength))
    else if (edit.growth !== undefined) headers.push('content-length', String(bodyLength + edit.growth))
  }
  const body = change !== undefined && 'body' in change ? change.body : undefined
  // It was unpacked for that.
  if (body !== undefined) removeHeader(headers, 'content-encoding')
  const http2 = target.kind === 'group' && target.http2
  const path = (renaming?.path ?? received.path) + received.query
  const to: Destination = { rule, variant, backend, grpc: undefined, http2, method: received.method, path, headers, body, edit: edit?.edit, stage: undefined }
  return prove === undefined ? to : withProof(exchange, to, prove)
}

async function translated(exchange: Exchange, rule: BuiltRule, variant: BuiltVariant, backend: Backend): Promise<Destination | Failure> {
  const { target, prove } = variant
  const told = await translate(exchange, rule, variant)
  if ('code' in told) return told
  const authority = (target.kind === 'group' ? target.host : undefined) ?? exchange.received.authority
  if (authority !== '') told.headers.push('host', authority)
  const to: Destination = { ...told, rule, variant, backend, http2: target.kind === 'group' && target.http2 }
  return prove === undefined ? to : withProof(exchange, to, prove)
}


function withProof(exchange: Exchange, to: Destination, prove: NonNullable<BuiltVariant['prove']>): Destination | Failure | Promise<Destination | Failure> {
  const proof = prove(exchange.explaining !== undefined)
  return proof instanceof Promise ? proof.then((settled) => proven(exchange, to, settled)) : proven(exchange, to, proof)
}

/** Shows the backend its credential, in place of whatever the caller sent in that header. */
function proven(exchange: Exchange, to: Destination, proof: Proof): Destination | Failure {
  if ('why' in proof) {
    exchange.cause = proof.why
    return unproven
  }
  removeHeader(to.headers, proof.header)
  to.headers.push(proof.header, proof.value)
  return to
}
