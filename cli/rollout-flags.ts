import { define } from './flag.ts'

/** What `rollout` is told besides the route and the rule. */
export const rolloutFlags = define([
  {
    name: 'control',
    type: 'text',
    value: 'URL',
    of: { rollout: null, top: null },
    help: "the control port, http://127.0.0.1:9903: of rollout, over files (default: the cluster that kubectl's configuration selects); of top, for a whole fleet",
  },
  {
    name: 'token-file',
    type: 'text',
    value: 'FILE',
    of: { rollout: null },
    help: 'for --control: the token of its console (docs/console.md), where it asks for one',
  },
  { name: 'watch', short: 'w', type: 'switch', of: { rollout: null }, help: 'for status: follow until it is over; exit 1 if it was aborted' },
  { name: 'timeout', type: 'duration', of: { rollout: null, selftest: '60s' }, help: 'stop after so long, with exit 1; of rollout for status -w (default: never)' },
  { name: 'full', type: 'switch', of: { rollout: null }, help: 'for promote: to the target at once, not to the next step' },
  { name: 'to-revision', type: 'count', value: 'N', of: { rollout: null }, help: 'for undo: this revision (default: the one before)' },
  { name: 'weight', type: 'list', value: 'VARIANT=N', of: { rollout: null }, help: 'for set-weight: the new weight of a variant' },
  {
    name: 'write',
    type: 'switch',
    of: { rollout: null },
    help: 'for set-weight: change the weights, in the cluster or in the file -f; without it, show what would change',
  },
])
