import { failure } from '../../pipeline/errors.ts'
import type { Stage } from '../../pipeline/exchange.ts'
import { valueOf } from '../../pipeline/headers.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { frameHead } from '../../protocols/grpc_frames.ts'
import { varintAt } from '../../protocols/protobuf.ts'
import { rawHead, readMessage } from '../../tensors/grpc_message.ts'
import { elementsOf, widths, type Infer } from '../../tensors/tensor.ts'
import { writeJson } from '../../tensors/write_json.ts'
import type { AnswerHandler, Controller } from '../../upstream/dispatch.ts'
import { carried, lowered } from '../unary.ts'

/** What may stand before the raw contents of an answer; one with more is read whole. Bytes. */
const headMax = 65_536

/** An answer of gRPC whose outputs are all raw contents, brought into V2 over REST as it comes. */
export function poured(binary: (output: string) => boolean, whole: Stage): Stage {
  return (to, refuse) => new Poured(to, refuse, binary, whole)
}

/** What comes of the beginning of a message. `from`: where in it the first raw contents are said. */
type Begun = Readonly<{ json: Buffer; heads: readonly Buffer[]; sizes: readonly number[]; from: number }>

class Poured implements AnswerHandler {
  readonly #to: AnswerHandler
  readonly #refuse: Parameters<Stage>[1]
  readonly #binary: (output: string) => boolean
  readonly #wholeStage: Stage
  /** It has turned out to be none that can be poured. */
  #whole: AnswerHandler | undefined
  #status = 0
  #rawHeaders: readonly string[] = []
  /** What has come while it is not known yet. */
  #held: Buffer = none
  /** What is still to come: of what stands between the contents, and of contents. */
  #expected: { head: Buffer; bytes: number }[] | undefined
  #headAt = 0
  /** Of contents, all together. */
  #left = 0
  /** The last piece waits for the word that all went well. */
  #last: Buffer | undefined
  #over = false

  constructor(to: AnswerHandler, refuse: Parameters<Stage>[1], binary: (output: string) => boolean, whole: Stage) {
    this.#to = to
    this.#refuse = refuse
    this.#binary = binary
    this.#wholeStage = whole
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    this.#status = status
    this.#rawHeaders = rawHeaders
    const headers = lowered(rawHeaders)
    if (status !== 200 || !isGrpc(valueOf(headers, 'content-type')) || valueOf(headers, 'grpc-status') !== undefined) this.#turnWhole(controller)
  }

  #turnWhole(controller: Controller): void {
    const whole = this.#wholeStage(this.#to, this.#refuse)
    this.#whole = whole
    whole.onResponseStart(controller, this.#status, this.#rawHeaders)
    if (this.#held.length > 0) {
      whole.onResponseData(controller, this.#held)
      whole.onResponseFlush()
    }
    this.#held = none
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#over) return
    if (this.#whole !== undefined) this.#whole.onResponseData(controller, chunk)
    else if (this.#expected !== undefined) this.#pass(controller, chunk)
    else this.#look(controller, chunk)
  }

  /** Whether what has come is enough to begin. */
  #look(controller: Controller, chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk])
    const held = this.#held
    const begun = begin(held, this.#binary)
    if (begun === 'more' && held.length < headMax) return
    if (typeof begun === 'string') {
      this.#turnWhole(controller)
      return
    }
    const { json, heads, sizes, from } = begun
    const length = sizes.reduce((sum, bytes) => sum + bytes, json.length)
    this.#expected = heads.map((head, at) => ({ head, bytes: sizes[at] ?? 0 }))
    this.#left = length - json.length
    this.#held = none
    this.#to.onResponseStart(controller, 200, [
      ...carried(lowered(this.#rawHeaders)), 'content-type', 'application/octet-stream', 'inference-header-content-length', String(json.length), 'content-length', String(length),
    ])
    this.#to.onResponseData(controller, json)
    this.#pass(controller, held.subarray(from))
  }

  #pass(controller: Controller, chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      const next = this.#expected?.[0]
      if (next === undefined) {
        this.#break(controller, 'it is longer than it says')
        return
      }
      if (this.#headAt < next.head.length) {
        const part = next.head.subarray(this.#headAt, this.#headAt + chunk.length - at)
        if (part.compare(chunk, at, at + part.length) !== 0) {
          this.#break(controller, 'its contents are not those of its outputs')
          return
        }
        at += part.length
        this.#headAt += part.length
      } else {
        const piece = at === 0 && chunk.length <= next.bytes ? chunk : chunk.subarray(at, at + next.bytes)
        at += piece.length
        next.bytes -= piece.length
        this.#left -= piece.length
        if (this.#left === 0) this.#last = piece
        else this.#to.onResponseData(controller, piece)
      }
      if (next.bytes === 0 && this.#headAt === next.head.length) {
        this.#expected?.shift()
        this.#headAt = 0
      }
    }
  }

  onResponseFlush(): boolean {
    if (this.#whole !== undefined) return this.#whole.onResponseFlush()
    const kept = this.#last !== undefined
    return this.#expected === undefined ? false : this.#to.onResponseFlush() || kept
  }

  onResponseEnd(controller: Controller, rawTrailers: readonly string[]): void {
    if (this.#over) return
    if (this.#whole === undefined && this.#expected === undefined) this.#turnWhole(controller)
    if (this.#whole !== undefined) {
      this.#whole.onResponseEnd(controller, rawTrailers)
      return
    }
    const status = valueOf(lowered(rawTrailers), 'grpc-status')
    if (status !== '0' || this.#expected?.length !== 0) {
      this.#break(controller, status === '0' ? 'it is shorter than it says' : `grpc-status: ${status?.slice(0, 8)}`)
      return
    }
    this.#over = true
    if (this.#last !== undefined && this.#last.length > 0) this.#to.onResponseData(controller, this.#last)
    this.#to.onResponseEnd(controller, [])
  }

  #break(controller: Controller, cause: string): void {
    this.#over = true
    this.#refuse(broken, cause)
    controller.abort(new Error(cause))
  }

  onResponseError(error: Error): void {
    if (this.#over) return
    this.#over = true
    if (this.#whole === undefined) this.#to.onResponseError(error)
    else this.#whole.onResponseError(error)
  }
}

const none = Buffer.alloc(0)
const broken = failure('upstream_protocol', 'The answer of the backend cannot be translated.')

/** `more`: it cannot be said yet. `whole`: it is none that could be poured. */
function begin(held: Buffer, binary: (output: string) => boolean): Begun | 'more' | 'whole' {
  if (held.length < frameHead) return 'more'
  if (held[0] !== 0) return 'whole'
  const length = held.readUInt32BE(1)
  const raw = rawAt(held, frameHead + length)
  if (typeof raw !== 'number') return raw
  const infer = readMessage('outputs', held.subarray(frameHead, raw))
  if ('code' in infer) return 'whole'
  const left = frameHead + length - raw
  const sizes = sizesOf(infer, left)
  if (sizes === undefined || infer.tensors.some(({ name, data }) => data === undefined || data.length > 0 || !binary(name))) return 'whole'
  const heads = sizes.map((bytes) => rawHead('outputs', bytes))
  if (heads.reduce((sum, head, at) => sum + head.length + (sizes[at] ?? 0), 0) !== left) return 'whole'
  const tensors = infer.tensors.map((tensor, at) => ({ ...tensor, data: undefined, parameters: new Map(tensor.parameters).set('binary_data_size', BigInt(sizes[at] ?? 0)) }))
  const written = writeJson('outputs', { ...infer, tensors }, () => false)
  const [json] = 'code' in written ? [] : written.pieces
  return json === undefined ? 'whole' : { json, heads, sizes, from: raw }
}

/** Where the tag of the first raw contents stands. */
function rawAt(held: Buffer, end: number): number | 'more' | 'whole' {
  for (let at = frameHead; at < end;) {
    const tag = varintAt(held, at)
    if (tag === undefined) return held.length - at < 10 ? 'more' : 'whole'
    const wire = tag.value & 7
    if (tag.value === rawTag) return at
    if (wire !== 0 && wire !== 2) return 'whole'
    const value = varintAt(held, tag.end)
    if (value === undefined) return held.length - tag.end < 10 ? 'more' : 'whole'
    at = value.end + (wire === 2 ? value.value : 0)
    if (at >= held.length && at < end) return 'more'
  }
  return 'whole'
}

const rawTag = 6 * 8 + 2

/** Bytes of each output's contents. Of one that is alone, all that are left; of BYTES among others nobody knows beforehand. */
function sizesOf({ tensors: [only, ...more] }: Infer, left: number): number[] | undefined {
  if (only === undefined) return undefined
  if (more.length === 0) {
    for (let bytes = Math.max(0, left - 11); bytes <= left; bytes++) if (rawHead('outputs', bytes).length + bytes === left) return [bytes]
    return undefined
  }
  const sizes: number[] = []
  for (const { datatype, shape } of [only, ...more]) {
    const count = elementsOf(shape)
    const width = widths.get(datatype)
    if (count === undefined || width === undefined) return undefined
    sizes.push(count * width)
  }
  return sizes
}
