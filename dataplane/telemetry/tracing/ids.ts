import { randomFillSync } from 'node:crypto'

/** Bytes of a trace's id with that of a span, and how many of them are drawn at once: one by one they take twenty times as long. */
const traceBytes = 16
const bytes = traceBytes + 8
const drawn = 512
/** What a `traceparent` of one that is not kept says: W3C Trace Context, section 3.2. */
const form = `00-${'0'.repeat(2 * traceBytes)}-${'0'.repeat(16)}-00`

const digits = Buffer.from('0123456789abcdef')
const random = Buffer.alloc(drawn * bytes)
const written = Buffer.from(form.repeat(drawn))

let pool = ''
let next = drawn

function draw(): void {
  randomFillSync(random)
  for (let i = 0, at = 0; i < random.length; i++) {
    // Before the trace, and between it and the span.
    if (i % bytes === 0) at = (i / bytes) * form.length + 3
    else if (i % bytes === traceBytes) at++
    const byte = random[i] ?? 0
    written[at++] = digits[byte >> 4] ?? 0
    written[at++] = digits[byte & 15] ?? 0
  }
  pool = written.toString('latin1')
  next = 0
}

/** A `traceparent` that begins a trace which is not kept. A part of a longer text: who keeps one for long copies it. */
export function newParent(): string {
  if (next === drawn) draw()
  const from = next++ * form.length
  return pool.slice(from, from + form.length)
}

/** 32 hexadecimal digits for the trace in it, and 16 for the span. */
export const traceIn = (parent: string): string => parent.slice(3, 35)
export const spanIn = (parent: string): string => parent.slice(36, 52)

/** Of the last one, what OpenTelemetry's `TraceIdRatioBased` looks at, which comes by chance: a number of 32 bits. */
export function lastChance(): number {
  const at = (next - 1) * bytes
  return (random.readUInt32BE(at) ^ random.readUInt32BE(at + 4) ^ random.readUInt32BE(at + 8) ^ random.readUInt32BE(at + 12)) >>> 0
}
