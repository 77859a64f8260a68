import { placeOfModel, type Place } from '../protocols/named.ts'
import { boundaryOf, FormScan } from '../protocols/scan/form.ts'
import { EncodedScan } from '../protocols/scan/encoded.ts'
import { GrpcScan } from '../protocols/scan/grpc.ts'
import { isCoding } from '../protocols/scan/inflate.ts'
import { JsonScan } from '../protocols/scan/json.ts'
import { wantedOf, type Wanted } from '../protocols/scan/pointers.ts'
import type { BodyScan, BodyValue, Named } from '../protocols/scan/scan.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { entry } from './bucket.ts'
import { failure, type Failure } from './errors.ts'
import { valueOf } from './headers.ts'
import type { Received } from './exchange.ts'

/** What the rules of a host and path want to know of a body. */
export type Wants = Readonly<{ model: boolean; pointers: readonly string[] }>

/** What is looked for in a body, and how what was found is told. */
export type Look = Readonly<{
  scan: BodyScan
  model(): Named | undefined
  /** Where in the body the model stands; undefined where it names none, in messages of gRPC, and in what is packed. */
  place?(): readonly [from: number, to: number] | undefined
  value(pointer: string): BodyValue | undefined
  fault(): Failure | undefined
}>

const trees = new Map<string, Wanted>()
const treesMax = 1000

/** Undefined: nothing that is wanted can be in this body. */
export function lookFor({ path, headers }: Pick<Received, 'path' | 'headers'>, wants: Wants): Look | Failure | undefined {
  const place = wants.model ? placeOfModel(path, headers) : undefined
  if (place?.in === 'grpc') return inMessage(place, headers)
  if (place?.in === 'form') return inForm(place, headers)
  const pointers = place === undefined ? wants.pointers : ['/model', ...wants.pointers]
  return pointers.length === 0 || !canBeJson(headers) ? undefined : inJson(pointers, place !== undefined, headers)
}

/** Whether values of a JSON body may be found in it. */
export function canBeJson(headers: readonly string[]): boolean {
  const type = valueOf(headers, 'content-type')
  return !isGrpc(type) && type?.startsWith('multipart/') !== true
}

function inMessage({ fields }: Place & { in: 'grpc' }, headers: readonly string[]): Look {
  const encoding = valueOf(headers, 'grpc-encoding')
  const scan = new GrpcScan(fields, isCoding(encoding) ? encoding : undefined)
  return { scan, model: () => scan.named, value: () => undefined, fault: () => faultOf(scan) }
}

function inForm({ contentType }: Place & { in: 'form' }, headers: readonly string[]): Look | Failure {
  const boundary = boundaryOf(contentType)
  if (boundary === undefined || valueOf(headers, 'content-encoding') !== undefined) return unreadable
  const scan = new FormScan('model', boundary)
  const model = () => scan.value === undefined || scan.value === '' ? undefined : { name: scan.value }
  return { scan, model, place: () => scan.place, value: () => undefined, fault: () => faultOf(scan) }
}

/** @param named the body is to name its model */
function inJson(pointers: readonly string[], named: boolean, headers: readonly string[]): Look | Failure {
  if (trees.size > treesMax) trees.clear()
  const json = new JsonScan(entry(trees, pointers.join('\n'), () => wantedOf(pointers)), pointers.length)
  const length = valueOf(headers, 'inference-header-content-length')
  if (length !== undefined && !/^\d{1,12}$/.test(length)) return unreadable
  const plain = length === undefined ? json : new FirstOf(Number(length), json)
  const encoding = valueOf(headers, 'content-encoding') ?? 'identity'
  if (encoding !== 'identity' && !isCoding(encoding)) return named ? unreadable : nothing
  const scan = isCoding(encoding) ? new EncodedScan(encoding, plain) : plain
  const at = (pointer: string) => json.values[pointers.indexOf(pointer)]
  return {
    scan,
    model() {
      const value = at('/model')
      return value?.kind === 'string' && value.text !== '' && !value.cut ? { name: value.text } : undefined
    },
    place: () => named && scan === json ? json.places[pointers.indexOf('/model')] : undefined,
    value: at,
    // What is no JSON to begin with holds no values. That is no fault, but where the body must name its model.
    fault: () => json.foreign && !named ? undefined : faultOf(scan),
  }
}

const nothing: Look = { scan: { done: true, fault: undefined, take() {}, end() {} }, model: () => undefined, value: () => undefined, fault: () => undefined }

/** The JSON before tensors in binary, whose length a header tells (Triton's binary data extension). */
class FirstOf implements BodyScan {
  #left: number
  readonly #inner: JsonScan

  constructor(length: number, inner: JsonScan) {
    this.#left = length
    this.#inner = inner
    if (length === 0) inner.foreign = true
  }

  get fault(): string | undefined {
    return this.#inner.fault
  }

  get done(): boolean {
    return this.#inner.done || this.#left === 0
  }

  take(piece: Buffer): void {
    if (this.#left === 0) return
    const part = piece.subarray(0, this.#left)
    this.#left -= part.length
    this.#inner.take(part)
    if (this.#left === 0) this.#inner.end()
  }

  end(): void {
    if (this.#left > 0) this.#inner.end()
  }
}

function faultOf({ fault }: BodyScan): Failure | undefined {
  return fault === undefined ? undefined : failure('invalid_request', `The body ${fault}, so that it cannot be told what it asks for.`)
}

const unreadable = failure('invalid_request', 'What the request asks for cannot be read from its body.')
