import { frameHead } from '../grpc_frames.ts'
import { FieldReader, MessageWriter } from '../protobuf.ts'
import { GrpcScan, type ModelFields } from '../scan/grpc.ts'
import { inflated, type Coding } from '../scan/inflate.ts'
import type { BodyEditor } from './editor.ts'

/** What may stand before the name in a message: the name of a repository, settings. Bytes. */
const frontMax = 65_536

/**
 * Puts another model into each message of a gRPC call. Its name and version come first in a message, so nothing of what
 * follows them is held; the scan sees to it that none comes later, where it would hold in the place of ours (of a field
 * that is there twice, the last counts). Compressed messages go on as they are without that: the call may mix both.
 */
export class GrpcModelEdit implements BodyEditor {
  readonly #scan: GrpcScan
  readonly #fields: ModelFields
  readonly #to: Readonly<{ name?: string; version?: string }>
  readonly #coding: Coding | undefined
  /** What has come of a message whose front is not there yet, and how much must come before it is looked at again. */
  #held: Buffer[] = []
  #heldSize = 0
  #needed = frameHead
  /** Bytes of the message in hand that go on as they are. */
  #left = 0
  #fault: string | undefined

  /** @param coding of compressed messages: the call's `grpc-encoding`; undefined: one that is not known here */
  constructor(fields: ModelFields, to: Readonly<{ name?: string; version?: string }>, coding: Coding | undefined) {
    this.#scan = new GrpcScan(fields, coding)
    this.#fields = fields
    this.#to = to
    this.#coding = coding
  }

  get fault(): string | undefined {
    return this.#scan.fault ?? this.#fault
  }

  take(piece: Buffer): readonly Buffer[] | Promise<readonly Buffer[]> {
    const looked = this.#scan.take(piece)
    if (looked === undefined) return this.#edit(piece)
    const own = Buffer.from(piece)
    return looked.then(() => this.#edit(own))
  }

  end(): readonly Buffer[] {
    if (this.#left > 0 || this.#heldSize > 0) this.#fault = 'ends in the middle of a message'
    return []
  }

  #edit(piece: Buffer): readonly Buffer[] | Promise<readonly Buffer[]> {
    if (this.fault !== undefined) return []
    if (this.#heldSize === 0) return this.#from(piece, 0, [])
    this.#hold(piece)
    if (this.#heldSize < this.#needed) return []
    const bytes = Buffer.concat(this.#held)
    this.#held = []
    this.#heldSize = 0
    return this.#from(bytes, 0, [])
  }

  /** Copied: a piece is only lent. */
  #hold(piece: Buffer): void {
    this.#held.push(Buffer.from(piece))
    this.#heldSize += piece.length
  }

  #from(bytes: Buffer, from: number, out: Buffer[]): readonly Buffer[] | Promise<readonly Buffer[]> {
    let at = from
    while (at < bytes.length && this.fault === undefined) {
      if (this.#left > 0) {
        const part = bytes.subarray(at, at + this.#left)
        out.push(part)
        this.#left -= part.length
        at += part.length
        continue
      }
      const whole = bytes.length - at < frameHead ? -1 : bytes.readUInt32BE(at + 1)
      const message = bytes.subarray(at + frameHead, at + frameHead + Math.max(0, whole))
      if (whole === -1 || (bytes[at] === 1 && message.length < whole)) {
        this.#needed = frameHead + Math.max(0, whole)
        this.#hold(bytes.subarray(at))
        break
      }
      if (bytes[at] === 1) {
        at += frameHead + whole
        const plain = this.#coding && inflated(this.#coding, message)
        if (!(plain instanceof Promise)) {
          this.#put(plain, out)
          continue
        }
        const rest = Buffer.from(bytes.subarray(at))
        return plain.then((inside) => {
          this.#put(inside, out)
          return this.#from(rest, 0, out)
        })
      }
      const taken = this.#front(message, whole, out)
      if (taken === undefined) {
        this.#needed = bytes.length - at + 1
        this.#hold(bytes.subarray(at))
        if (this.#heldSize > frontMax) this.#fault = 'names its model too late'
        break
      }
      this.#left = whole - taken
      at += frameHead + taken
    }
    return out
  }

  /** A message that was compressed. The scan has told already what is wrong with one that cannot be read. */
  #put(message: Buffer | undefined, out: Buffer[]): void {
    const taken = message && this.#front(message, message.length, out)
    if (message !== undefined && taken !== undefined) out.push(message.subarray(taken))
  }

  /** Writes the beginning of a message of `length` bytes. @returns how many of its own that stands for; undefined: more must come first */
  #front(message: Buffer, length: number, out: Buffer[]): number | undefined {
    const last = Math.max(this.#fields.name, this.#fields.version ?? 0)
    const kept: Buffer[] = []
    let { name, version } = this.#to
    const reader = new FieldReader(message)
    let taken = 0
    while (reader.next() && reader.field <= last) {
      if (reader.wire === 2 && reader.field === this.#fields.name) name ??= reader.text
      else if (reader.wire === 2 && reader.field === this.#fields.version) version ??= reader.text
      else kept.push(message.subarray(reader.start, reader.to))
      taken = reader.to
    }
    // Broken: what is here ends in the middle of a field, since the scan has found nothing else.
    if (message.length < length && (reader.broken ? reader.field <= last : taken === message.length)) return undefined
    const front = new MessageWriter()
    if (name !== undefined && name !== '') front.text(this.#fields.name, name)
    if (this.#fields.version !== undefined && version !== undefined && version !== '') front.text(this.#fields.version, version)
    const head = Buffer.alloc(frameHead)
    const before = kept.reduce((sum, part) => sum + part.length, 0)
    head.writeUInt32BE(before + front.length + length - taken, 1)
    out.push(head, ...kept, ...front.parts)
    return taken
  }
}
