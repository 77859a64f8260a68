import type { Family } from '../../../exposition/family.ts'
import type { LedgerState } from './open.ts'

/** How the ledger itself does. */
export const ledgerFamilies = (ledger: LedgerState): Family[] => [
  {
    name: 'modelroute_ledger_dropped_total', type: 'counter', labels: [],
    help: 'Usage records that could not be written, or found no room to wait in: they are lost.',
    rows: () => [{ labels: '', value: ledger.dropped() }],
  },
  {
    name: 'modelroute_ledger_spool_bytes', type: 'gauge', labels: [],
    help: 'Usage records on disk that have not been delivered yet.',
    rows: () => [{ labels: '', value: ledger.waiting() }],
  },
]
