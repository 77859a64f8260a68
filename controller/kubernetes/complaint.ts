import type { Log } from '../log.ts'
import type { Kind } from './api.ts'
import type { Trouble } from './trouble.ts'

export type ComplaintOptions = Readonly<{ kind: Kind; namespace?: string; required?: boolean; log: Log }>

/** Says what keeps a kind from being read when that changes, and when it is over; not once a retry. */
export class Complaint {
  readonly #options: ComplaintOptions
  #said = ''

  constructor(options: ComplaintOptions) {
    this.#options = options
  }

  /** Something keeps it from being read. */
  get open(): boolean {
    return this.#said !== ''
  }

  /** @param trouble undefined: there is none */
  of(trouble: Trouble | undefined): void {
    const text = trouble === undefined ? '' : `${trouble.why}: ${trouble.message}`
    if (text === this.#said) return
    this.#said = text
    const { kind, namespace, required, log } = this.#options
    const name = kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`
    const where = namespace === undefined ? 'in all namespaces' : `in namespace ${namespace}`
    const fields = { kind: name, namespace: namespace ?? '', ...(trouble && { why: trouble.why, error: trouble.message }) }
    if (trouble === undefined) return log('info', `reading ${name} ${where} again`, fields)
    if (trouble.why === 'denied') {
      return log('error', `may not read ${name} ${where}: grant list and watch on it to the service account`, fields)
    }
    if (trouble.why === 'absent') {
      return log(required ? 'error' : 'info', `${name} is not installed in the cluster${required ? ': apply its CRD' : ''}`, fields)
    }
    log('warn', `cannot read ${name} ${where}, trying again`, fields)
  }
}
