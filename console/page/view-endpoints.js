import { h } from './dom.js'
import { age, count, plural } from './format.js'
import { heading, pager, ruleName } from './list.js'

/** @import { ConsoleState, UpstreamLine } from '../../table/console.ts' */

/** @type {Readonly<Record<string, readonly [tone: string, word: string]>>} */
const states = {
  healthy: ['good', 'healthy'], unknown: ['quiet', 'not asked yet'], unhealthy: ['bad', 'unhealthy'],
  ejected: ['bad', 'ejected'], half_open: ['warn', 'on trial'],
}

/** @param {ConsoleState} state */
export function endpoints({ endpoints: seen }) {
  if (seen === undefined) return undefined
  return [
    heading('Endpoints', 'Where requests go, what is in flight there, and whom breakers and checks keep out. Trouble comes first.', 'routes and addresses'),
    h('ul', { class: 'chips' },
      seen.states.map(({ state, count: amount }) => h('li', { key: state }, h('span', { class: `dot ${states[state]?.[0] ?? 'quiet'}`, 'aria-hidden': 'true' }), `${count(amount)} ${states[state]?.[1] ?? state}`)),
      h('li', { key: 'circuits' }, h('span', { class: `dot ${seen.open > 0 ? 'bad' : 'good'}`, 'aria-hidden': 'true' }), `${plural(seen.open, 'circuit')} not closed`)),
    h('div', { class: 'cards' }, seen.list.items.map(card)),
    pager(seen.list, 'No variant has a backend yet.'),
  ]
}

/** @param {UpstreamLine} line */
function card({ process, route, rule, variant, modelVersion, circuit, inside, waiting, held, endpoints: all, omitted }) {
  const waits = [
    ...(inside === null ? [] : [`${count(inside)} inside`]), ...(waiting === null || waiting === 0 ? [] : [`${count(waiting)} wait for a place`]),
    ...(held > 0 ? [`${count(held)} wait for an endpoint`] : []),
  ]
  const tone = circuit === 'open' ? 'bad' : circuit === 'half-open' ? 'warn' : 'good'
  return h('article', { key: [process, route, rule, variant, modelVersion].join('\n'), class: 'panel card' },
    h('header', null, h('h3', null, ruleName(route, rule)),
      h('p', null, h('span', { class: 'tag' }, variant), modelVersion !== '' && h('span', { class: 'tag' }, modelVersion),
        circuit !== null && h('span', { class: `pill ${tone}` }, `circuit ${circuit}`), h('span', { class: 'quiet' }, waits.join(', ')))),
    all.length + omitted === 0 ? h('p', { class: 'bad' }, 'No endpoint is there.')
      : h('ul', { class: 'places' }, all.map(({ endpoint, state, inFlight, why, backInMs }) => h('li', { key: endpoint },
        h('span', { class: `dot ${states[state]?.[0] ?? 'quiet'}`, 'aria-hidden': 'true' }),
        h('span', { class: 'code' }, endpoint),
        h('span', { class: 'number' }, `${count(inFlight)} in flight`),
        h('span', { class: states[state]?.[0] ?? 'quiet' }, states[state]?.[1] ?? state),
        (why !== undefined || backInMs !== undefined) && h('span', { class: 'quiet why' }, why ?? '', backInMs !== undefined && `${why === undefined ? '' : ', '}tried again in ${age(backInMs / 1000)}`)))),
    omitted > 0 && h('p', { class: 'quiet' }, `and ${count(omitted)} more`))
}
