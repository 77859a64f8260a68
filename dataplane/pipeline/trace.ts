import { valueOf, type FlatHeaders } from './headers.ts'
import { detached } from './recalled.ts'

/** The trace that a request is a part of (W3C Trace Context, level 1). */
export type Trace = Readonly<{
  /** 32 hexadecimal digits. */
  id: string
  /** The span that called: 16 digits. Empty: the trace begins here. */
  parent: string
  /** Spans of it are kept somewhere: ours too where the gateway makes some; else that is what the caller says. */
  sampled: boolean
}>

/** Later versions may say more after what this one says. */
const form = /^(?<version>(?!ff)[0-9a-f]{2})-(?<id>(?!0{32})[0-9a-f]{32})-(?<parent>(?!0{16})[0-9a-f]{16})-(?<flags>[0-9a-f]{2})(?<more>-.*)?$/

/** The trace that a caller names; undefined where there is none, or what says so is not valid: then nothing of it is believed. */
export function traceOf(headers: Readonly<FlatHeaders>): Trace | undefined {
  const { version, id = '', parent = '', flags = '', more } = form.exec(valueOf(headers, 'traceparent') ?? '')?.groups ?? {}
  if (version === undefined || (version === '00' && more !== undefined)) return undefined
  const sampled = (Number.parseInt(flags, 16) & 1) === 1
  // Exemplars keep it for long, and it is a part of the caller's head.
  return { id: sampled ? detached(id) : id, parent, sampled }
}
