import type { CredentialSource } from '../push/credentials.ts'
import type { MakeKey } from '../rotation.ts'
import type { Snapshot } from '../sources/snapshot.ts'
import type { View } from '../statuses.ts'

/** Where resources come from, and where what became of them goes. */
export type Mode = Readonly<{
  start(onSnapshot: (snapshot: Snapshot) => void): Promise<void>
  stop(): Promise<void>
  /** What API keys are digested with, where no file says it. Resolves however long that takes. */
  pepper(): Promise<Uint8Array>
  /** What is wrong and belongs to no resource. */
  problems(): readonly unknown[]
  report(view: View): void
  /** Makes the Secret of an API key. */
  makeKey: MakeKey
  /** Certificates of its own making for the push port. */
  credentials?: CredentialSource | undefined
}>
