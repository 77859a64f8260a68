import { remember, sparkline, splitBar } from './chart.js'
import { h } from './dom.js'
import { count, duration, percent, rate } from './format.js'
import { heading, pager, row, ruleName, table } from './list.js'

/** @import { ConsoleState, Flow, RuleFlow, VariantFlow } from '../../table/console.ts' */

/** @type {import('./list.js').Column[]} */
const columns = [
  { title: 'Route and rule', sort: 'name' },
  { title: 'Requests/s', sort: 'requests', numeric: true },
  { title: 'Last minute', wide: 1 },
  { title: 'Errors', sort: 'errors', numeric: true, hint: 'Answered with 5xx' },
  { title: 'Refused', numeric: true, wide: 1, hint: 'Answered with 4xx' },
  { title: 'p50', numeric: true, wide: 2 },
  { title: 'p95', sort: 'latency', numeric: true },
  { title: 'p99', numeric: true, wide: 1 },
  { title: 'In flight', numeric: true, wide: 2 },
  { title: 'Share / weight', numeric: true, hint: 'What a variant got lately, and what the table gives it' },
]

/** @param {ConsoleState} state */
export function traffic({ traffic: list, endings, proxies, window }) {
  if (list === undefined) return undefined
  return [
    heading('Traffic', 'What rules and their variants get, and what the table gives them.', 'routes'),
    h('div', { class: 'beside' },
      h('section', { class: 'panel', 'aria-label': 'Rules' },
        table('Rules and their variants', columns, list.items.flatMap(ruleRows)),
        pager(list, 'No route is in force yet.')),
      h('aside', { 'aria-label': 'Errors and proxies' },
        h('section', { class: 'panel' }, h('h3', null, 'What went wrong'), endingList(endings, window)),
        proxies !== undefined && h('section', { class: 'panel' }, h('h3', null, 'Proxies'), proxyList(proxies)))),
  ]
}

/** @param {RuleFlow} one */
function ruleRows({ route, rule, flow, variants }) {
  const key = `${route}\n${rule}`
  const name = route === '' ? h('span', { class: 'rule' }, h('em', null, 'no rule matched')) : ruleName(route, rule)
  const [only] = variants
  if (variants.length <= 1 || only === undefined) {
    return row(key, [only === undefined ? name : h('span', { class: 'named' }, name, tags(only)), ...figures(key, flow), undefined], columns, 'rule-row')
  }
  // One tone for each variant, whatever the versions.
  const tones = new Map([...new Set(variants.map(({ variant }) => variant))].map((variant, i) => [variant, i % 5]))
  const tone = (/** @type {VariantFlow} */ { variant }) => tones.get(variant) ?? 0
  const parts = variants.filter(({ weight, priority }) => weight !== null && priority === 0)
  const split = parts.length > 1 && splitBar(parts.map((one) => ({ variant: one.variant, share: one.share, weight: one.weight, tone: tone(one) })))
  return [
    row(key, [name, ...figures(key, flow), split], columns, 'rule-row'),
    ...variants.map((one) => row(`${key}\n${one.variant}\n${one.modelVersion}`, [
      h('span', { class: 'variant' }, h('span', { class: `swatch tone-${tone(one)}`, 'aria-hidden': 'true' }), tags(one)),
      ...figures(`${key}\n${one.variant}\n${one.modelVersion}`, one.flow), shareOf(one),
    ], columns, 'variant-row')),
  ]
}

/** @param {VariantFlow} one */
function tags({ variant, modelVersion, priority }) {
  return [h('span', { class: 'variant-name' }, variant), modelVersion !== '' && h('span', { class: 'tag', title: modelVersion }, modelVersion), priority > 0 && h('span', { class: 'tag' }, `fallback ${priority}`)]
}

/** @param {VariantFlow} one */
function shareOf({ share, weight }) {
  return h('span', { class: 'share' }, h('strong', null, percent(share)), h('span', { class: 'quiet' }, ` / ${percent(weight)}`))
}

/** @param {string} key @param {Flow} flow */
function figures(key, { perSecond, requests, failed, refused, inFlight, p50, p95, p99 }) {
  const part = (/** @type {number | undefined} */ some) => perSecond === null || some === undefined ? null : perSecond.requests === 0 ? 0 : some / perSecond.requests
  const failing = part(perSecond?.failed)
  return [
    h('span', { title: `${count(requests)} so far` }, rate(perSecond?.requests)),
    sparkline(remember(key, perSecond?.requests ?? null)),
    h('span', { class: (failing ?? 0) > 0 ? 'bad' : failing === 0 ? 'quiet' : '', title: `${count(failed)} so far` }, percent(failing)),
    h('span', { class: (perSecond?.refused ?? 0) > 0 ? 'warn' : 'quiet', title: `${count(refused)} so far` }, percent(part(perSecond?.refused))),
    duration(p50), duration(p95), duration(p99), count(inFlight),
  ]
}

/** @param {ConsoleState['endings']} endings @param {number | null} window */
function endingList(endings, window) {
  if (endings.length === 0) return h('p', { class: 'empty' }, 'Nothing so far.')
  return h('ul', { class: 'endings' }, endings.map(({ status, code, count: times, perSecond }) => h('li', { key: `${status} ${code}` },
    h('span', { class: `status ${status >= 500 || status === 0 ? 'bad' : 'warn'}` }, status === 0 ? 'cut' : String(status)),
    h('span', null, h('span', { class: code === '' ? '' : 'code' }, code === '' ? 'from the backend' : code), h('span', { class: 'quiet' }, `${count(times)} so far`)),
    h('span', { class: 'number' }, window === null ? '' : `${rate(perSecond)}/s`))))
}

/** @param {NonNullable<ConsoleState['proxies']>} proxies */
function proxyList(proxies) {
  if (proxies.length === 0) return h('p', { class: 'empty' }, 'No proxy is connected.')
  return h('ul', { class: 'endings' }, proxies.map(({ node, gateway, current, connectedAt, refused, requestsPerSecond }) => {
    const [tone, word] = connectedAt === null ? ['bad', 'gone'] : refused > 0 ? ['bad', `refuses ${refused}`] : current ? ['good', 'current'] : ['warn', 'behind']
    return h('li', { key: `${gateway}/${node}` }, h('span', { class: `status ${tone}` }, word),
      h('span', null, h('span', { class: 'code' }, node), h('span', { class: 'quiet' }, gateway)),
      h('span', { class: 'number' }, requestsPerSecond === null ? '' : `${rate(requestsPerSecond)}/s`))
  }))
}
