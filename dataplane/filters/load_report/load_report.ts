import { removeHeaders, type FlatHeaders } from '../../pipeline/headers.ts'
import { askForLoad, tellsLoad } from '../../upstream/load/orca.ts'
import type { Filter } from '../filter.ts'

/** Has the model servers of a rule that balances by their load tell it in their answers, and keeps it from clients. */
export const loadReport: Filter = {
  name: 'load_report',
  build({ rule }) {
    if (rule.balance.policy !== 'InferenceAware') return undefined
    return function askForReport(exchange) {
      const { headers } = exchange.received
      removeHeaders(headers, asks)
      headers.push(...askForLoad)
      ;(exchange.headTaps ??= []).push(hide)
      return undefined
    }
  },
}

const asks = (name: string): boolean => name === askForLoad[0]
const hide = (_: number, headers: FlatHeaders): void => removeHeaders(headers, tellsLoad)
