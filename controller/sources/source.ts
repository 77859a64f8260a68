import type { Snapshot } from './snapshot.ts'

/** Where resources come from. The two implementations differ in nothing that anything downstream could notice. */
export interface Source {
  /**
   * Calls `onSnapshot` once every kind has been read, and again after each change (bursts are merged). Never before
   * the first complete read: half a world compiles into a table that drops routes.
   */
  start(onSnapshot: (snapshot: Snapshot) => void): Promise<void>
  stop(): Promise<void>
}
