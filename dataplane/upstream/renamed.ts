import { readBody, readLimit } from '../pipeline/body.ts'
import { failure, requestTooLarge, type Failure } from '../pipeline/errors.ts'
import type { Exchange, Received } from '../pipeline/exchange.ts'
import { isPlainValue, valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import { peek } from '../pipeline/peek.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { editedWhole, type BodyEditor } from '../protocols/edit/editor.ts'
import { GrpcModelEdit } from '../protocols/edit/grpc_model.ts'
import { Splice } from '../protocols/edit/splice.ts'
import { decoded, isPlain } from '../protocols/encodings.ts'
import { membersOf } from '../protocols/json.ts'
import { modelInHeaders, placeOfModel, renamedHeaders, type Place } from '../protocols/named.ts'
import { modelOf, renameModel } from '../protocols/path.ts'
import { boundaryOf, FormScan } from '../protocols/scan/form.ts'
import { isCoding } from '../protocols/scan/inflate.ts'
import { gatherMax } from './body.ts'

type Model = NonNullable<BuiltVariant['model']>

/** A request for a model as its backend knows it, as far as that is told without its body. */
export type Renaming = Readonly<{
  path: string
  /** In the place of its own; undefined: these stay. */
  headers: FlatHeaders | undefined
  /** Where the body names the model, which it does then too. */
  place: Place | undefined
}>

/** What goes in the place of a body: other bytes, or the same changed on the way. `growth`: bytes that come of that; undefined: nobody knows. */
export type Changed = Readonly<{ body: Buffer } | { edit: () => BodyEditor; growth: number | undefined }>

export function renamingOf({ path, headers }: Pick<Received, 'path' | 'headers'>, model: Model): Renaming | Failure {
  const place = placeOfModel(path, headers)
  const renamed = renameModel(path, model)
  if (typeof renamed !== 'string') return renamed
  const inHeaders = modelInHeaders(headers) !== undefined
  if (model.version !== undefined) {
    if (place?.in === 'json' || place?.in === 'form') return unversioned
    if (place?.in === 'grpc' && place.fields.version === undefined) return unversioned
    if (place === undefined && inHeaders && modelOf(path) === undefined) return unversioned
  }
  if (model.name !== undefined && inHeaders && !isPlainValue(model.name)) return unsaid
  return {
    path: renamed,
    headers: model.name === undefined ? undefined : renamedHeaders(headers, model.name),
    place: model.name === undefined && model.version === undefined ? undefined : place,
  }
}

/** What the body of such a request becomes, read only as far as that takes. */
export function changed(exchange: Exchange, rule: BuiltRule, place: Place, model: Model): Changed | Failure | Promise<Changed | Failure> {
  const { received } = exchange
  if (place.in === 'grpc') return { edit: () => grpcEdit(received.headers, place, model), growth: undefined }
  const { bodyLength } = received
  const large = bodyLength === 'chunked' || bodyLength > gatherMax
  if (large && exchange.body === undefined && isPlain(valueOf(received.headers, 'content-encoding'))) return changedOnTheWay(exchange, rule, place, model)
  return changedWhole(exchange, rule, place, model)
}

function changedWhole(exchange: Exchange, rule: BuiltRule, place: Place, model: Model): Changed | Failure | Promise<Changed | Failure> {
  const { received } = exchange
  const body = readBody(exchange)
  const told = (settled: Buffer | Failure) => 'code' in settled ? settled : changedBody(received.headers, settled, place, model, readLimit(rule.requestMax))
  const settled = body instanceof Promise ? body.then(told) : told(body)
  return settled instanceof Promise ? settled.then(asChanged) : asChanged(settled)
}

const asChanged = (settled: Buffer | Failure): Changed | Failure => 'code' in settled ? settled : { body: settled }

/** A large body is held only up to where it names the model. */
async function changedOnTheWay(exchange: Exchange, rule: BuiltRule, place: Exclude<Place, { in: 'grpc' }>, model: Model): Promise<Changed | Failure> {
  const fault = exchange.modelLooked ? undefined : await peek(exchange, { model: true, pointers: [] }, rule)
  if (fault !== undefined) return fault
  const { modelPlace } = exchange
  const name = model.name ?? ''
  // JSON that names none is here by now: only its end told so.
  if (place.in === 'json' && modelPlace === undefined) return changedWhole(exchange, rule, place, model)
  const [at, bytes] = place.in === 'form' ? inForm(modelPlace, place.contentType, name) : [modelPlace ?? start, Buffer.from(JSON.stringify(name))] as const
  return { edit: () => new Splice(at, bytes), growth: bytes.length - (at[1] - at[0]) }
}

const start = [0, 0] as const

/** A body that is here: in JSON all else stays byte for byte, though not as it was packed. @param max bytes that it may unpack to */
export function changedBody(headers: Readonly<FlatHeaders>, body: Buffer, place: Place, model: Model, max: number): Buffer | Failure | Promise<Buffer | Failure> {
  if (place.in === 'grpc') return editedWhole(grpcEdit(headers, place, model), body).then((edited) => typeof edited === 'string' ? broken(edited) : edited)
  const name = model.name ?? ''
  const change = (plain: Buffer): Buffer | Failure => place.in === 'json' ? renameInJson(plain, name) : renameInForm(plain, place.contentType, name)
  const plain = decoded(headers, body, max)
  return plain instanceof Promise ? plain.then((settled) => settled === 'too_large' ? requestTooLarge(max) : settled === 'encoding' ? unreadable : change(settled))
    : change(plain)
}

function grpcEdit(headers: Readonly<FlatHeaders>, { fields }: Place & { in: 'grpc' }, model: Model): BodyEditor {
  const encoding = valueOf(headers, 'grpc-encoding')
  return new GrpcModelEdit(fields, model, isCoding(encoding) ? encoding : undefined)
}

function renameInJson(body: Buffer, name: string): Buffer | Failure {
  const members = membersOf(body)
  if (members === undefined) return unreadable
  const text = JSON.stringify(name)
  const place = members.place('model')
  if (place !== undefined) return Buffer.concat([body.subarray(0, place[0]), Buffer.from(text), body.subarray(place[1])])
  const start = body.indexOf('{') + 1
  const more = /^\s*\}/.test(body.toString('latin1', start, start + 64)) ? '' : ','
  return Buffer.concat([body.subarray(0, start), Buffer.from(`"model":${text}${more}`), body.subarray(start)])
}

function renameInForm(body: Buffer, contentType: string, name: string): Buffer | Failure {
  const scan = new FormScan('model', boundaryOf(contentType) ?? '')
  scan.take(body)
  if (!scan.done && scan.fault === undefined) scan.end()
  if (scan.fault !== undefined) return broken(scan.fault)
  const [[from, to], bytes] = inForm(scan.place, contentType, name)
  return Buffer.concat([body.subarray(0, from), bytes, body.subarray(to)])
}

/** What to put where; into a form that names none, a field before all others. */
function inForm(place: readonly [number, number] | undefined, contentType: string, name: string): readonly [at: readonly [number, number], bytes: Buffer] {
  if (place !== undefined) return [place, Buffer.from(name)]
  return [[0, 0], Buffer.from(`--${boundaryOf(contentType) ?? ''}\r\nContent-Disposition: form-data; name="model"\r\n\r\n${name}\r\n`)]
}

const broken = (fault: string): Failure => failure('invalid_request', `The body ${fault}, so that its model cannot be changed.`)
const unversioned = failure('unsupported_translation', 'The backend serves one version of the model, and a request of this kind cannot ask for it.')
const unsaid = failure('unsupported_translation', 'The backend serves the model by a name that no header can hold.')
const unreadable = failure('unsupported_translation', 'The backend serves the model by another name, and the body is not one JSON object in UTF-8 with every member named once.')
