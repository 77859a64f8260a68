import type { Log } from '../log.ts'
import type { Api, Kind, RawObject } from './api.ts'
import type { Change } from './change.ts'
import type { Clock } from './clock.ts'

export type ReflectorOptions<T> = Readonly<{
  api: Api
  kind: Kind
  namespace?: string
  labelSelector?: string
  /** Without its CRD the kind is not empty but unread: for the kinds that hold the routes themselves. */
  required?: boolean
  /**
   * What is kept of an object; all else is dropped at once. `previous` is what was kept of the same object (same uid):
   * answer it when nothing of interest changed, and no change is reported.
   */
  keep(object: RawObject, previous: T | undefined): T
  /** After the store has changed; a list is one call. What it throws is logged and forgotten. */
  onChange(changes: readonly Change<T>[]): void
  /** Once, after the first complete list (or the first proof that the kind does not exist). */
  onSynced(): void
  /** The server's history is known up to there: after what a list or a watch brought of it is in the store. */
  onVersion?(resourceVersion: string): void
  /** The server's history ends before this version, which it had once: it was set back, as a restore of etcd does. */
  onSetBack?(from: string, to: string): void
  /** The server does not let us read it, or does again. */
  onDenied?(denied: boolean): void
  log: Log
  clock?: Clock
  random?: () => number
  /** Milliseconds of silence before a watch is taken for dead. */
  idle?: number
  /** Milliseconds between two full lists that check what the watch brought. */
  relist?: number
}>
