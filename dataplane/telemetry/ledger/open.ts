import type { Log } from '../log.ts'
import { connectSink } from './connect.ts'
import { startDelivery } from './delivery.ts'
import type { Destination } from './destination.ts'
import { openLedger, type Ledger } from './ledger.ts'
import { sizeOf } from './spool.ts'

/**
 * Where usage records go, the folder where they wait for that, and whether this is the process that takes them there
 * from it.
 */
export type LedgerTarget = Readonly<{ to: Destination; folder?: string | undefined; delivers?: boolean }>

/** What is to be known of the ledger as a whole. */
export type LedgerState = Readonly<{
  /** Records that this process has lost, since its start. */
  dropped(): number
  /** Bytes that wait to be delivered; of several processes one tells. */
  waiting(): number
}>

/** How long the end of the process waits for records to arrive elsewhere. Milliseconds. */
const deliveryMax = 2000

/** @param serves false: this process holds the table for its workers, and has no requests */
export function openUsage({ to, folder, delivers = true }: LedgerTarget, serves: boolean, log: Log) {
  const delivery = delivers && folder !== undefined && (to.to === 'http' || to.to === 'stream')
    ? startDelivery({ folder, sink: connectSink(to, log), say: (why) => log.write('error', 'ledger: its spool fails', { why }) })
    : undefined
  const ledger: Ledger | undefined = serves ? openLedger({ destination: to, folder, log }) : undefined
  const state: LedgerState | undefined = to.to === 'none' ? undefined : {
    dropped: () => ledger?.dropped() ?? 0,
    waiting: () => (delivery === undefined || folder === undefined ? 0 : sizeOf(folder)),
  }
  return {
    ledger,
    state,
    async close() {
      await ledger?.close()
      await delivery?.close(deliveryMax)
    },
  }
}
