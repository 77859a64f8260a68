import { define } from './flag.ts'

/** What `top` is told besides whom to ask. */
export const topFlags = define([
  { name: 'interval', type: 'duration', of: { top: '1s' }, help: 'between two looks; rates are counted over it, so not below 1s' },
  {
    name: 'sort',
    type: 'text',
    value: 'BY',
    choices: ['requests', 'errors', 'latency', 'name'],
    of: { top: 'requests' },
    help: 'what comes first',
  },
  { name: 'filter', type: 'text', value: 'WORDS', of: { top: null }, help: 'only rules with all of these words in the names of their route, rule or variants' },
  { name: 'once', type: 'switch', of: { top: null }, help: 'one look, as lines; exit 1 where nobody answers' },
])
