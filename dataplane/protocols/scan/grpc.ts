import { isUtf8 } from 'node:buffer'
import { frameHead } from '../grpc_frames.ts'
import { FieldReader, varintAt, varintMax } from '../protobuf.ts'
import { inflated, inflatedMax, type Coding } from './inflate.ts'
import type { BodyScan, Named } from './scan.ts'

/** Where in the messages of a method the model stands: numbers of fields. */
export type ModelFields = Readonly<{ name: number; version?: number }>

/** Bytes of a name, more than any has. */
const nameMax = 4096
/** A tag and a length, as varints. */
const headMax = 2 * varintMax

/**
 * Finds the model in the first message of a gRPC call. Fields come in the order of their numbers, as every library
 * writes them; a name that comes after what follows it, twice, or another one in a later message of a stream is a fault.
 */
export class GrpcScan implements BodyScan {
  fault: string | undefined
  done = false
  /** Of the first message that names one. */
  named: Named | undefined
  readonly #fields: ModelFields
  readonly #coding: Coding | undefined
  readonly #last: number
  /** The beginning of something that a piece breaks off: of a frame, of a field, a name. */
  #rest: Buffer = none
  /** Bytes of the message in hand that have not come yet; -1: between messages. */
  #left = -1
  /** Bytes of a field that is passed over. */
  #skip = 0
  #compressed: Buffer[] | undefined
  #name: string | undefined
  #version: string | undefined
  #told = false
  /** What the first message said. */
  #first: Named | undefined

  /** @param coding of compressed messages: the call's `grpc-encoding`; undefined: one that is not looked into */
  constructor(fields: ModelFields, coding: Coding | undefined) {
    this.#fields = fields
    this.#coding = coding
    this.#last = Math.max(fields.name, fields.version ?? 0)
  }

  take(piece: Buffer): void | Promise<void> {
    const bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece])
    this.#rest = none
    return this.#from(bytes, 0)
  }

  end(): void {
    if (this.fault !== undefined || this.done) return
    if (this.#left !== -1 || this.#rest.length > 0) this.fault = 'ends in the middle of a message'
    this.done = true
  }

  #from(bytes: Buffer, from: number): void | Promise<void> {
    let at = from
    while (at < bytes.length && this.fault === undefined) {
      if (this.#left === -1) {
        if (bytes.length - at < frameHead) break
        this.#begin(bytes[at] ?? 0, bytes.readUInt32BE(at + 1))
        at += frameHead
      } else if (this.#compressed !== undefined) {
        const part = bytes.subarray(at, at + this.#left)
        this.#compressed.push(Buffer.from(part))
        at += part.length
        this.#left -= part.length
      } else if (this.#skip > 0) {
        const step = Math.min(this.#skip, bytes.length - at)
        at += step
        this.#skip -= step
        this.#left -= step
      } else {
        const end = this.#field(bytes, at)
        if (end === at) break
        this.#left -= end - at
        at = end
      }
      if (this.#left !== 0 || this.#skip > 0) continue
      const settled = this.#messageEnd()
      if (settled === undefined) continue
      const after = Buffer.from(bytes.subarray(at))
      return settled.then(() => this.#from(after, 0))
    }
    // Copied: a piece is only lent.
    if (this.fault === undefined && at < bytes.length) this.#rest = Buffer.from(bytes.subarray(at))
    return undefined
  }

  #begin(flag: number, length: number): void {
    this.#left = length
    this.#skip = 0
    this.#name = undefined
    this.#version = undefined
    this.#told = false
    this.#compressed = flag === 1 ? [] : undefined
    if (flag > 1) this.fault = 'is not a message of gRPC'
    if (flag === 1 && this.#coding === undefined) this.fault = 'is compressed in a way that is not looked into'
    if (flag === 1 && length > inflatedMax) this.fault = 'is compressed, and too large to be looked into'
  }

  /** Reads one field; @returns where it ends, or `at` where more must come before that can be told */
  #field(bytes: Buffer, at: number): number {
    const to = Math.min(bytes.length, at + this.#left)
    const tag = varintAt(bytes, at, to)
    const wire = (tag?.value ?? 0) & 7
    const field = Math.floor((tag?.value ?? 0) / 8)
    const size = tag && (wire === 0 || wire === 2 ? varintAt(bytes, tag.end, to) : { value: 0, end: tag.end })
    if (tag === undefined || size === undefined) {
      if (to - at >= Math.min(headMax, this.#left)) this.fault = broken
      return at
    }
    const length = wire === 2 ? size.value : wire === 1 ? 8 : wire === 5 ? 4 : 0
    if (field === 0 || (wire > 2 && wire !== 5) || size.end - at + length > this.#left) {
      this.fault = broken
      return at
    }
    const wanted = wire === 2 && (field === this.#fields.name || field === this.#fields.version)
    if (wanted) {
      if (length > nameMax) this.fault = 'names a model that is too long'
      else if (size.end + length > bytes.length) return at
      this.#take(field, bytes.subarray(size.end, size.end + length))
      return size.end + length
    }
    if (field > this.#last && !this.#told) {
      this.#told = true
      this.#settle()
    }
    this.#skip = length
    return size.end
  }

  #take(field: number, value: Buffer): void {
    const text = value.toString()
    if (!isUtf8(value)) this.fault = 'names a model in a text that is not UTF-8'
    const again = field === this.#fields.name ? this.#name !== undefined : this.#version !== undefined
    if (again || this.#told) this.fault = 'names its model twice, or out of order'
    if (field === this.#fields.name) this.#name = text
    else this.#version = text
  }

  #messageEnd(): void | Promise<void> {
    this.#left = -1
    if (this.#compressed === undefined) {
      this.#settle()
      return undefined
    }
    const bytes = this.#coding && inflated(this.#coding, Buffer.concat(this.#compressed))
    this.#compressed = undefined
    return bytes instanceof Promise ? bytes.then((message) => this.#whole(message)) : this.#whole(bytes)
  }

  #whole(message: Buffer | undefined): void {
    const fields = new FieldReader(message ?? none)
    while (fields.next() && this.fault === undefined) {
      if (fields.field > this.#last) this.#told = true
      if (fields.wire === 2 && (fields.field === this.#fields.name || fields.field === this.#fields.version)) this.#take(fields.field, fields.value)
    }
    if (message === undefined || fields.broken) this.fault ??= broken
    this.#settle()
  }

  /** What the message in hand names is known. */
  #settle(): void {
    const name = this.#name ?? ''
    const named = { name, ...(this.#version !== undefined && this.#version !== '' && { version: this.#version }) }
    this.#first ??= named
    if (name !== this.#first.name || named.version !== this.#first.version) this.fault ??= 'names another model than the message before it'
    if (!this.done && name !== '') this.named = named
    this.done = true
  }
}

const none: Buffer = Buffer.alloc(0)
const broken = 'is not a message of protocol buffers'
