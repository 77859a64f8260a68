import { unavailable } from '../../telemetry/audit.ts'
import type { Filter } from '../filter.ts'

/** While records cannot be written, what may not go unrecorded ends here, and no model works for nothing. */
export const audit: Filter = {
  name: 'audit',
  build({ rule }, deps) {
    if (rule.audit !== 'Strict') return undefined
    return function audit() {
      return deps.audit.failing() ? unavailable : undefined
    }
  },
}
