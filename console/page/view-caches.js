import { meter } from './chart.js'
import { h } from './dom.js'
import { bytes, count, percent, rate } from './format.js'
import { heading, pager, row, ruleName, table } from './list.js'

/** @import { CacheLine, ConsoleState } from '../../table/console.ts' */

/** @type {import('./list.js').Column[]} */
const columns = [
  { title: 'Route and rule', sort: 'name' },
  { title: 'Hit rate', numeric: true, hint: 'Of the requests that the cache was asked for lately' },
  { title: 'Hits/s', sort: 'requests', numeric: true },
  { title: 'Misses/s', sort: 'errors', numeric: true },
  { title: 'So far', wide: 1 },
  { title: 'Answers', numeric: true, wide: 1 },
  { title: 'Memory', numeric: true },
  { title: 'Evicted', numeric: true, wide: 1 },
]

/** @param {ConsoleState} state */
export function caches({ caches: list }) {
  if (list === undefined) return undefined
  return [
    heading('Caches', 'Answers that are kept and given again.', 'routes'),
    h('section', { class: 'panel', 'aria-label': 'Caches' }, table('Caches', columns, list.items.map(cacheRow)), pager(list, 'No rule keeps answers.')),
  ]
}

/** @param {CacheLine} line */
function cacheRow({ route, rule, bytes: held, maxBytes, entries, evicted, results, hitRate, distrusted }) {
  const now = (/** @type {readonly string[]} */ ...names) => results.some(({ perSecond }) => perSecond === null) ? null
    : results.reduce((sum, { result, perSecond }) => names.includes(result) ? sum + (perSecond ?? 0) : sum, 0)
  return row(`${route}\n${rule}`, [
    h('span', null, ruleName(route, rule), distrusted && h('span', { class: 'pill bad' }, 'hits by meaning are off')),
    h('span', { class: 'metered' }, h('strong', null, percent(hitRate)), meter(hitRate, `hit rate ${percent(hitRate)}`, 'good')),
    rate(now('hit', 'semantic-hit')), rate(now('miss')),
    h('span', { class: 'quiet' }, results.map(({ result, count: times }) => `${count(times)} ${result}`).join(', ')),
    count(entries),
    h('span', { class: 'metered' }, h('span', null, bytes(held)), meter(maxBytes === 0 ? 0 : held / maxBytes, `${bytes(held)} of ${bytes(maxBytes)}`)),
    count(evicted),
  ], columns)
}
