import type { Rotated } from '../../table/messages.ts'
import type { DrainOptions } from '../drain.ts'
import type { KeyToRotate } from '../receive/conversation.ts'
import type { Snapshots } from '../telemetry/metrics.ts'
import type { Change } from './change.ts'

/** Where the public ports of a worker are. */
export type PublicUrls = Readonly<{ http: string; https: string | undefined }>

/**
 * What the primary and its workers say to each other, over the channel that Node gives them (structured clones, in
 * order). A worker begins with hello, and is given the table before it opens a port.
 */
export type ToWorker =
  /** `seq` counts the tables of the primary. Without a change there is none yet. */
  | Readonly<{ type: 'table'; seq: number; change: Change | undefined }>
  | Readonly<{ type: 'metrics'; id: number }>
  | Readonly<{ type: 'drain'; options: DrainOptions }>
  | Readonly<{ type: 'rotated'; id: number; outcome: Rotated['outcome'] }>

export type ToPrimary =
  | Readonly<{ type: 'hello' }>
  | Readonly<{ type: 'listening'; urls: PublicUrls }>
  /** The table `seq` is in force. */
  | Readonly<{ type: 'active'; seq: number }>
  | Readonly<{ type: 'metrics'; id: number; metrics: Snapshots }>
  /** The holder of a key asks for another one: the primary talks to the controller. */
  | Readonly<{ type: 'rotate'; id: number; key: KeyToRotate }>
  /** The last it says. `clean`: nothing had to be cut. */
  | Readonly<{ type: 'drained'; clean: boolean }>
