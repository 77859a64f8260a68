import type { Spans } from '../telemetry/tracing/spans.ts'

/**
 * How a request of a rule that joins predictions was asked for: with others, alone because no others came, apart from
 * them after all, or past all that. `id`: of the call, for the backend's log. `requests`, `rows`: in it. `waited`:
 * milliseconds, for others. `share`: of its rows, from 0 to 1.
 */
export type Batched = Readonly<{
  result: 'joined' | 'alone' | 'apart' | 'bypass'
  why?: string
  id?: string
  requests?: number
  rows?: number
  waited?: number
  share?: number
}>

/**
 * What became of a step of a composition. `calls`: more than one where it goes through a list; `seconds`: of backends, added
 * up over the calls. `why`: it has no answer. `spans`: what its calls are parts of, where the request is traced.
 */
export type StepRecord = { name: string; result: 'answered' | 'failed' | 'skipped'; status: number; calls: number; seconds: number; why?: string; spans?: Spans | undefined }

/** Puts something else in the place of a backend's answer, piece by piece; `end` gives what is left at its end. */
export type BodyRewrite = Readonly<{ data(chunk: Buffer): Buffer; end(): Buffer }>
