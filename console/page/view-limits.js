import { meter } from './chart.js'
import { h } from './dom.js'
import { age, count, percent, rate } from './format.js'
import { heading, pager, row, ruleName, table } from './list.js'

/** @import { CallerLine, ConsoleState, LimitLine } from '../../table/console.ts' */

/** @type {import('./list.js').Column[]} */
const columns = [
  { title: 'Policy and limit', sort: 'name' },
  { title: 'Terms' },
  { title: 'Allowed/s', sort: 'requests', numeric: true },
  { title: 'Turned away/s', sort: 'errors', numeric: true },
  { title: 'So far', numeric: true, wide: 1, hint: 'Allowed, and turned away' },
]

/** @type {import('./list.js').Column[]} */
const callerColumns = [
  { title: 'Caller' },
  { title: 'Allowed/s', numeric: true },
  { title: 'Turned away/s', numeric: true },
  { title: 'So far', numeric: true, wide: 1, hint: 'Allowed, and turned away' },
  { title: 'Tokens in / out', numeric: true, wide: 1 },
  { title: 'Left of each limit' },
]

/** @param {ConsoleState} state */
export function limits({ limits: seen }) {
  if (seen === undefined) return undefined
  return [
    heading('Limits', 'What each limit lets through and turns away, and who meets them most.', 'limits and callers'),
    h('section', { class: 'panel', 'aria-label': 'Limits' }, table('Limits', columns, seen.list.items.map(limitRow)), pager(seen.list, 'No rule has a limit.')),
    h('section', { class: 'panel' }, h('h3', null, 'Who meets them'),
      seen.callers.length === 0 ? h('p', { class: 'empty' }, 'Nobody has called a rule with limits yet.') : table('Callers, those turned away the most first', callerColumns, seen.callers.map(callerRow))),
  ]
}

/** @param {LimitLine} line */
function limitRow({ policy, limit, terms, shadow, decisions }) {
  const allowed = decisions.filter(({ decision }) => decision === 'allowed')
  const away = decisions.filter(({ decision }) => decision !== 'allowed')
  const now = (/** @type {typeof decisions} */ some) => some.every(({ perSecond }) => perSecond === null) && some.length > 0 ? null : some.reduce((sum, { perSecond }) => sum + (perSecond ?? 0), 0)
  const ever = (/** @type {typeof decisions} */ some) => some.reduce((sum, one) => sum + one.count, 0)
  return row(`${policy}/${limit}`, [
    h('span', null, ruleName(policy, limit), shadow && h('span', { class: 'tag' }, 'only watches')),
    h('span', null, terms === '' ? h('em', { class: 'quiet' }, 'no longer in the table') : terms),
    rate(now(allowed)),
    h('span', { class: (now(away) ?? 0) > 0 ? 'warn' : '', title: away.map(({ decision, count: times }) => `${decision}: ${times}`).join(', ') }, rate(now(away))),
    h('span', { class: 'quiet' }, `${count(ever(allowed))} / ${count(ever(away))}`),
  ], columns)
}

/** @param {CallerLine} line */
function callerRow({ tenant, consumer, address, requests, rejected, perSecond, inputTokens, outputTokens, limits: left }) {
  return row(JSON.stringify([tenant, consumer, address]), [
    h('span', { class: 'rule' }, h('span', { class: 'quiet' }, `${tenant}/`), h('strong', null, consumer ?? address ?? ''), consumer === undefined && h('span', { class: 'tag' }, 'address')),
    rate(perSecond?.requests),
    h('span', { class: (perSecond?.rejected ?? 0) > 0 ? 'warn' : '' }, rate(perSecond?.rejected)),
    h('span', { class: 'quiet' }, `${count(requests)} / ${count(rejected)}`),
    h('span', { class: 'quiet' }, `${count(inputTokens)} / ${count(outputTokens)}`),
    h('ul', { class: 'lefts' }, left.map(({ policy, limit, unit, amount, remaining, resetSeconds }) => {
      const part = remaining === null || amount === 0 ? null : remaining / amount
      const words = remaining === null ? 'not known' : `${count(Math.floor(remaining))} of ${count(amount)} ${unit}`
      return h('li', { key: `${policy}/${limit}` }, h('span', { class: 'code' }, limit), meter(part, `${limit}: ${words} left, ${percent(part)}`, part === null ? '' : part < 0.1 ? 'bad' : part < 0.3 ? 'warn' : 'good'),
        h('span', { class: 'quiet' }, words, resetSeconds > 0 && `, anew in ${age(resetSeconds)}`))
    })),
  ], callerColumns)
}
