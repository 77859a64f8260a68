import { nextLook, remember, sparkline } from './chart.js'
import { dialogs } from './commands.js'
import { h, render } from './dom.js'
import { age, clock, count, duration, percent, plural, rate } from './format.js'
import { poll } from './poll.js'
import { current, go, onMove } from './place.js'
import { caches } from './view-caches.js'
import { endpoints } from './view-endpoints.js'
import { explain } from './view-explain.js'
import { limits } from './view-limits.js'
import { rollouts } from './view-rollouts.js'
import { routes } from './view-routes.js'
import { traffic } from './view-traffic.js'

/**
 * @import { ConsoleState, Flow } from '../../table/console.ts'
 * @import { Child } from './dom.js'
 * @typedef {Readonly<{ title: string, draw: (state: ConsoleState) => Child }>} View
 */

/** @type {Readonly<Record<string, View>>} */
const views = {
  traffic: { title: 'Traffic', draw: traffic },
  rollouts: { title: 'Rollouts', draw: rollouts },
  limits: { title: 'Limits', draw: limits },
  endpoints: { title: 'Endpoints', draw: endpoints },
  caches: { title: 'Caches', draw: caches },
  table: { title: 'Table', draw: routes },
  explain: { title: 'Explain', draw: explain },
}

/** @type {ConsoleState | undefined} */
let state
/** @type {string | undefined} */
let lost
let paused = false

const place = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id))

const looking = poll({
  query() {
    const { view, search, sort, offset } = current()
    // Explaining needs no list; the shortest one is asked for.
    const wanted = view === 'explain' ? { view: 'rollouts', limit: '1' } : { view, search, sort, offset: String(offset), limit: '25' }
    return String(new URLSearchParams(wanted))
  },
  onState(next) {
    if (state !== undefined && state.server.startedAt !== next.server.startedAt) say('The server was restarted; counts begin anew.')
    else if (lost !== undefined) say('Connected again.')
    nextLook()
    state = next
    lost = undefined
    draw()
  },
  onLost(why) {
    if (lost === undefined) say(`The connection is lost: ${why}. Trying again.`)
    lost = why
    draw()
  },
})

/** @param {string} text spoken, where somebody listens */
function say(text) {
  place('said').textContent = text
}

/** The view may have moved on before what is to be seen in it came. */
function fits() {
  const { view } = current()
  const member = view === 'table' ? 'routes' : view
  return state !== undefined && (view === 'explain' || member in state)
}

function draw() {
  render(place('top'), top())
  render(place('views'), h('ul', null, tabs()))
  document.title = `${views[current().view]?.title ?? ''} · ${state?.server.name ?? 'ModelRoute'} · ModelRoute`
  document.documentElement.classList.toggle('stale', lost !== undefined)
  render(place('dialogs'), dialogs(state))
  if (state === undefined) {
    if (lost !== undefined) render(place('view'), h('p', { class: 'empty' }, `Nothing to be seen: ${lost}. Trying again.`))
    return
  }
  render(place('totals'), totals(state))
  render(place('view'), fits() ? h('div', { key: current().view, class: 'view' }, views[current().view]?.draw(state)) : h('p', { class: 'empty' }, 'Looking…'))
  render(place('foot'), foot(state))
}

function top() {
  const tone = lost !== undefined ? 'bad' : paused ? 'warn' : state?.server.ready === false ? 'warn' : 'good'
  const word = lost !== undefined ? `Lost: ${lost}` : paused ? 'Paused' : state === undefined ? 'Connecting' : state.server.ready ? 'Live' : 'Not ready'
  return [
    h('p', { class: 'brand' }, mark(), 'ModelRoute'),
    h('h1', null, state === undefined ? 'Console' : state.server.name, state?.server.kind === 'fleet' && h('span', { class: 'pill' }, 'fleet')),
    h('p', { class: `live ${tone}` }, h('span', { class: 'dot', 'aria-hidden': 'true' }), word,
      lost !== undefined && state !== undefined && h('span', { class: 'quiet' }, ` as of ${clock(state.at)}`)),
    h('div', { class: 'controls' },
      h('button', { type: 'button', class: 'plain', 'aria-pressed': String(paused), onclick: pause }, paused ? 'Resume' : 'Pause'),
      h('button', { type: 'button', class: 'plain', onclick: turnTheme, 'aria-label': `Theme: ${theme()}. Change.` }, h('span', { class: 'roomy' }, 'Theme: '), theme())),
  ]
}

function mark() {
  return h('svg', { viewBox: '0 0 32 32', class: 'mark', 'aria-hidden': 'true' },
    h('rect', { width: '32', height: '32', rx: '8' }),
    h('path', { d: 'M7 16h6c4 0 4-7 8-7h4M13 16c4 0 4 7 8 7h4' }), h('circle', { cx: '7', cy: '16', r: '2.4' }))
}

function tabs() {
  const { view } = current()
  return Object.entries(views).filter(([name]) => name !== 'explain' || state === undefined || state.explain !== undefined).map(([name, { title }]) =>
    h('li', { key: name }, h('a', { href: `#/${name}`, 'aria-current': name === view ? 'page' : undefined }, title)))
}

/** @param {ConsoleState} seen */
function totals({ total, table, window, server, proxies }) {
  const { perSecond } = total
  const failing = partOf(total, 'failed')
  return h('dl', { class: 'tiles' },
    tile('Requests', rate(perSecond?.requests), 'per second', remember('requests', perSecond?.requests ?? null), 'accent'),
    tile('Errors', percent(failing), `${rate(perSecond?.failed)}/s with 5xx`, remember('failed', failing), (failing ?? 0) > 0 ? 'bad' : 'quiet'),
    tile('Refused', percent(partOf(total, 'refused')), `${rate(perSecond?.refused)}/s with 4xx`, remember('refused', partOf(total, 'refused')), 'warn'),
    tile('Latency p95', duration(total.p95), [h('span', { class: 'whole' }, `p50 ${duration(total.p50)}`), ' · ', h('span', { class: 'whole' }, `p99 ${duration(total.p99)}`)], remember('p95', total.p95), 'accent'),
    tile('In flight', count(total.inFlight), `${plural(total.requests, 'request')} so far`, remember('inFlight', total.inFlight), 'quiet'),
    h('div', { class: 'tile' },
      h('dt', null, 'Table'),
      h('dd', null,
        h('span', { class: 'figure code' }, table === null ? 'none yet' : short(table.version)),
        h('span', { class: 'quiet' }, table === null ? 'waiting for a controller'
          : `${plural(table.routes, 'route')}, ${plural(table.rules, 'rule')}${table.age >= 1 ? `, confirmed ${age(table.age)} ago` : ''}`),
        h('span', { class: 'quiet' }, proxies !== undefined ? plural(proxies.length, 'proxy', 'proxies') : server.processes === 1 ? 'one process' : plural(server.processes, 'process', 'processes'),
          window === null && ', rates from the next look on'))))
}

/** @param {Flow} flow @param {'failed' | 'refused'} kind of the requests of now */
function partOf({ perSecond }, kind) {
  if (perSecond === null) return null
  return perSecond.requests === 0 ? 0 : perSecond[kind] / perSecond.requests
}

/** Digests are as good at their beginning. @param {string} version */
const short = (version) => version.length > 12 ? `${version.slice(0, 12)}…` : version

/** @param {string} name @param {string} figure @param {Child} more @param {readonly (number | null)[]} values @param {string} tone */
function tile(name, figure, more, values, tone) {
  return h('div', { class: 'tile' }, h('dt', null, name),
    h('dd', null, h('span', { class: 'figure' }, figure), h('span', { class: 'quiet' }, more), sparkline(values, { width: 160, height: 30, tone })))
}

/** @param {ConsoleState} seen */
function foot({ server, at }) {
  return [
    h('span', null, `ModelRoute ${server.release}`), h('span', null, `up ${age((at - server.startedAt) / 1000)}`), h('span', null, `seen ${clock(at)}`),
    server.kind === 'proxy' && h('a', { href: 'metrics' }, 'Metrics'), server.kind === 'proxy' && h('a', { href: 'table' }, 'Table as JSON'),
    h('span', null, 'Press ', h('kbd', null, '/'), ' to search'),
  ]
}

function pause() {
  paused = looking.pause()
  say(paused ? 'Paused.' : 'Live.')
  draw()
}

const themes = ['auto', 'light', 'dark']
const theme = () => document.documentElement.dataset['theme'] ?? 'auto'

function turnTheme() {
  const next = themes[(themes.indexOf(theme()) + 1) % themes.length] ?? 'auto'
  if (next === 'auto') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = next
  try {
    if (next === 'auto') localStorage.removeItem('modelroute-theme')
    else localStorage.setItem('modelroute-theme', next)
  } catch {
    // It lasts as long as the page.
  }
  draw()
}

onMove((elsewhere) => {
  draw()
  if (elsewhere) place('main').focus({ preventScroll: true })
  looking.now()
}, draw)

document.addEventListener('keydown', (event) => {
  const { target } = event
  const types = target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  if (event.key !== '/' || types || event.ctrlKey || event.metaKey || event.altKey) return
  const search = document.getElementById('search')
  if (search === null) return
  event.preventDefault()
  search.focus()
})

if (!(current().view in views)) go({ view: 'traffic' })
draw()
