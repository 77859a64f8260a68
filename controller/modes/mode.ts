import type { CredentialSource } from '../push/credentials.ts'
import type { Earlier } from '../rollout/commands.ts'
import type { News } from '../rollout/machine.ts'
import type { About, Rollouts } from '../rollout/rollouts.ts'
import type { MakeKey } from '../rotation.ts'
import type { Snapshot } from '../sources/snapshot.ts'
import type { View } from '../statuses.ts'

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
  /** Whether this process decides about rollouts. */
  leading(): boolean
  /** Of a route: which revision of it is in force, and which ones there are. */
  revision(route: string, uid: string): number | undefined
  history(route: About): Promise<readonly Earlier[]>
  /** What a rollout did, for people. */
  tell(route: About, rule: string, news: News): void
  /** A command that was given by an annotation is to be marked, and has been dealt with. */
  claim(route: About, rule: string, text: string): void
  handled(route: About, rule: string, text: string): void
  /** Makes the Secret of an API key. */
  makeKey: MakeKey
  /** Certificates of its own making for the push port. */
  credentials?: CredentialSource | undefined
}>
