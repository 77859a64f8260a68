import { removeHeader, valueOf, type FlatHeaders } from '../../pipeline/headers.ts'
import { traceOf, type Trace } from '../../pipeline/trace.ts'

/** What a `tracestate` may come to: members, and characters that must go on at least (W3C Trace Context, sections 3.3.1.1 and 3.3.1.5). */
const membersMax = 32
const charactersMax = 512

/**
 * The trace that a caller names. Who takes part in a trace sends on nothing that is not valid: then a trace begins here,
 * without what was said of the other; and a `tracestate` that is too large is left out (section 3.3).
 */
export function inherited(headers: FlatHeaders): Trace | undefined {
  const trace = traceOf(headers)
  if (trace === undefined) removeHeader(headers, 'traceparent')
  const state = valueOf(headers, 'tracestate')
  if (state !== undefined && (trace === undefined || state.length > charactersMax || state.split(',').length > membersMax)) removeHeader(headers, 'tracestate')
  return trace
}
