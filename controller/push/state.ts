import type { Hashes } from '../../table/version.ts'
import type { Ledger } from './ledger.ts'

/** What one proxy has of one resource, and is owed. */
export type State = {
  /** What the proxy holds, or will once it has what is under way; null asks for a snapshot. */
  sent: string | null
  /** The hashes of that version, so that it stays a base however many versions pass meanwhile. */
  base: Hashes | undefined
  /** Sent and not answered. At most one, so that a slow reader costs the memory of one message a resource. */
  outstanding: string | undefined
  /** That message was a snapshot: refusing it whole cannot be healed by sending it again. */
  whole: boolean
  /** Has had an answer to its hello. */
  greeted: boolean
  acked: string | null
  /** Items of the acknowledged version that are not in force, and why. */
  refused: ReadonlyMap<string, string>
  /** The version that the proxy refused as a whole, and why. */
  held: { version: string; why: string } | undefined
}

export const fresh = (): State => ({
  sent: null,
  base: undefined,
  outstanding: undefined,
  whole: false,
  greeted: false,
  acked: null,
  refused: new Map(),
  held: undefined,
})

/** Whether there is something to send of it. */
export function owes({ greeted, sent, held }: State, { version }: Ledger): boolean {
  return !(greeted && sent === version) && held?.version !== version
}

/** What the proxy holds, for a delta from there; undefined: it has to be sent the whole. */
export function baseOf({ sent, base }: State, ledger: Ledger): Hashes | undefined {
  return sent === null ? undefined : (base ?? ledger.at(sent))
}
