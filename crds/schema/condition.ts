import { choice, int, listMap, obj, required, str, time } from './node.ts'
import type { ListNode } from './node.ts'

/** `metav1.Condition`, under its own name and bounds, so that `kubectl wait` understands it. */
export function conditions(description: string): ListNode {
  const condition = obj('Condition', 'One aspect of the object, as last observed.', {
    type: required(str('Name of the aspect.', { min: 1, max: 316 })),
    status: required(choice('Whether it holds.', ['True', 'False', 'Unknown'])),
    observedGeneration: int('Generation of the object that this was said of.', 0, Number.MAX_SAFE_INTEGER),
    lastTransitionTime: required(time('When the status last changed (RFC 3339).')),
    reason: required(str('Why, in one word for programs.', { min: 1, max: 1024 })),
    message: required(str('Why, in a sentence for people.', { max: 32768 })),
  })
  return listMap(description, ['type'], condition, { max: 12 })
}
