import type { Order } from '../../table/order.ts'
import type { Clock } from '../kubernetes/clock.ts'
import type { CredentialSource } from '../push/credentials.ts'
import type { Earlier } from '../rollout/commands.ts'
import type { News } from '../rollout/machine.ts'
import type { About, Rollouts } from '../rollout/rollouts.ts'
import type { Identify } from '../actions/access.ts'
import type { MakeKey } from '../rotation.ts'
import type { Snapshot } from '../sources/snapshot.ts'
import type { View } from '../statuses.ts'

/** What a variant is to weigh. */
export type Weight = Readonly<{ variant: string; weight: number }>

/** What is told in metrics of a cluster: how each kind is followed, and what is to be written to it. Over files nothing is. */
export type Observed = Readonly<{
  watches: readonly Readonly<{ kind: string; state: string }>[]
  queues: Readonly<Record<string, Readonly<{ size: number; failed: number }>>>
}>

/** Who hears what is recorded of rollouts. */
export type Recorder = Pick<Rollouts, 'observe' | 'recorded' | 'lead'>

/** Where resources come from, and where what became of them goes. */
export type Mode = Readonly<{
  start(onSnapshot: (snapshot: Snapshot) => void, recorder: Recorder): Promise<void>
  stop(): Promise<void>
  /** What API keys are digested with, where no file says it. Resolves however long that takes. */
  pepper(): Promise<Uint8Array>
  /** What is wrong and belongs to no resource. */
  problems(): readonly unknown[]
  report(view: View): void
  observed(): Observed
  /** Whether this process decides about rollouts. */
  leading(): boolean
  /** The time of what is written down: that of all replicas, where there are several. */
  clock: Clock
  /** How new the last snapshot is, and who leads: of several controllers the later one is right. Undefined: there is one. */
  order(): Order | undefined
  /** Somebody has had a table of a later order for so many milliseconds. */
  surpass(order: Order, ms: number): void
  /** Of a route: which revision of it is in force, and which ones there are. */
  revision(route: string, uid: string): number | undefined
  history(route: About): Promise<readonly Earlier[]>
  /** What a rollout did, for people. */
  tell(route: About, rule: string, news: News): void
  /** A command that was given by an annotation is to be marked, and has been dealt with. */
  claim(route: About, rule: string, text: string): void
  handled(route: About, rule: string, text: string): void
  /** Knows who gives commands by a token; asked for only where the operator wants tokens. */
  identify(): Promise<Identify>
  /**
   * Changes weights in the manifest, where and as its owner would. Undefined: done; else why not.
   * @param token of who asks, in a cluster: the controller itself writes no spec
   */
  reweigh(route: About, rule: string, weights: readonly Weight[], token: string | undefined): Promise<string | undefined>
  /** Gives a command on to whoever leads, as its giver would with kubectl. Undefined: it is given; else why not. Absent: nobody else leads. */
  passOn?: (route: About, rule: string, text: string, token: string) => Promise<string | undefined>
  /** Makes the Secret of an API key. */
  makeKey: MakeKey
  /** Certificates of its own making for the push port. */
  credentials?: CredentialSource | undefined
}>
