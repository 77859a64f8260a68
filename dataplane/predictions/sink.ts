import type { PredictionEvent } from './event.ts'

/** Where events go. It never keeps anybody waiting. */
export type PredictionSink = Readonly<{
  /** False: it has as much as it takes, and this one is dropped. */
  put(event: PredictionEvent): boolean
  /** What became of events after that; it only grows. */
  outcomes(): Readonly<{ delivered: number; failed: number }>
  /** For the end of the process: what is held is put out, or has had its time. */
  close(): Promise<void>
}>
