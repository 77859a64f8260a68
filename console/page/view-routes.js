import { h } from './dom.js'
import { percent, plural } from './format.js'
import { heading, pager, ruleName } from './list.js'

/** @import { ConsoleState, RouteLine } from '../../table/console.ts' */

/** @param {ConsoleState} state */
export function routes({ routes: list, table }) {
  if (list === undefined) return undefined
  return [
    heading('Table', table === null ? 'No table is in force yet.' : `The routes in force, version ${table.version}.`, 'routes, hosts, paths'),
    h('div', { class: 'panel routes' }, list.items.map(routeLine), pager(list, 'No route is in force.')),
  ]
}

/** @param {RouteLine} line */
function routeLine({ route, hostnames, generation, created, rules }) {
  return h('details', { key: route },
    h('summary', null, ruleName(route), h('span', { class: 'quiet' }, `${plural(rules.length, 'rule')}, ${hostnames.length === 0 ? 'any host' : hostnames.join(', ')}`)),
    // Of files there are no such.
    !Number.isNaN(Date.parse(created)) && h('p', { class: 'quiet' }, `Generation ${generation}, of ${created}`),
    rules.map(({ rule, matches, filters, variants }) => h('section', { key: rule, class: 'rule-of' },
      h('h3', null, rule),
      h('dl', null,
        h('dt', null, 'Matches'), h('dd', null, h('ul', { class: 'codes' }, matches.map((match) => h('li', null, h('code', null, match))))),
        h('dt', null, 'Filters'), h('dd', null, filters.length === 0 ? h('span', { class: 'quiet' }, 'none') : h('ol', { class: 'flow' }, filters.map((filter) => h('li', null, filter)))),
        h('dt', null, 'Variants'), h('dd', null, h('ul', { class: 'targets' }, variants.map(({ variant, weight, priority, target }) => h('li', { key: variant },
          h('strong', null, variant), h('span', { class: 'number' }, percent(weight)), priority > 0 && h('span', { class: 'tag' }, `fallback ${priority}`), h('code', null, target)))))))))
}
