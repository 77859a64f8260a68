import type { Rotated } from '../../table/messages.ts'
import type { Look } from '../../table/console.ts'
import type { Purge } from '../cache/shared.ts'
import type { Question } from '../explain/question.ts'
import type { DrainOptions } from '../drain.ts'
import type { KeyToRotate } from '../receive/conversation.ts'
import type { Change } from './change.ts'
import type { LimitsToPrimary, LimitsToWorker } from './relay.ts'

/** What a worker knows that the primary tells for all: its metrics, a page at a time, who used how much, what rollouts want to know, what became of copies, what models were asked and answered, and what the console shows; what it is to forget, or what it would do with a request. */
export type Asked =
  | 'usage' | 'measured' | 'mirrors' | 'predictions' | 'upstreams'
  | Readonly<{ scrape: number }> | Readonly<{ purge: Purge }> | Readonly<{ explain: Question }> | Readonly<{ look: Look }>

/**
 * What the primary and its workers say to each other, over the channel that Node gives them (structured clones, in
 * order). A worker begins with hello, and is given the table before it opens a port.
 */
export type ToWorker =
  /** `seq` counts the tables of the primary. Without a change there is none yet. */
  | Readonly<{ type: 'table'; seq: number; change: Change | undefined }>
  | Readonly<{ type: 'ask'; id: number; what: Asked }>
  | LimitsToWorker
  | Readonly<{ type: 'drain'; options: DrainOptions }>
  | Readonly<{ type: 'rotated'; id: number; outcome: Rotated['outcome'] }>

export type ToPrimary =
  | Readonly<{ type: 'hello' }>
  /** A public port is open: every worker says so of the same ones. */
  | Readonly<{ type: 'port'; name: string; url: string }>
  /** It serves. */
  | Readonly<{ type: 'serving' }>
  /** The table `seq` is in force. */
  | Readonly<{ type: 'active'; seq: number }>
  /** The holder of a key asks for another one: the primary talks to the controller. */
  | Readonly<{ type: 'rotate'; id: number; key: KeyToRotate }>
  | Readonly<{ type: 'answer'; id: number; value: unknown }>
  | LimitsToPrimary
  /** The last it says. `clean`: nothing had to be cut. */
  | Readonly<{ type: 'drained'; clean: boolean }>
