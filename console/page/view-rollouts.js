import { splitBar } from './chart.js'
import { ask, lastOutcome, signedIn, signOut, words } from './commands.js'
import { h } from './dom.js'
import { age, clock, count, duration, percent } from './format.js'
import { heading, pager, row, ruleName, table } from './list.js'

/** @import { ConsoleState, RolloutLine } from '../../table/console.ts' */

/** @type {Readonly<Record<string, string>>} */
const phases = { Progressing: 'accent', AwaitingApproval: 'warn', Paused: 'warn', Aborted: 'bad', Stable: 'good' }

/** @param {ConsoleState} state */
export function rollouts({ rollouts: list, actions, server, at }) {
  if (list === undefined) return undefined
  const outcome = lastOutcome()
  const about = server.kind === 'fleet' ? 'Where each stands, what its gates say, and what became of it.' : 'Rules that are split, as the table has them. Steps and gates are at the console of the controller.'
  return [
    heading('Rollouts', about, 'routes'),
    actions.enabled
      ? h('p', { class: 'who' }, signedIn() === undefined
        ? h('button', { type: 'button', onclick: () => ask(undefined) }, 'Sign in to give commands')
        : [h('span', null, 'Commands are given as ', h('strong', null, signedIn())), h('button', { type: 'button', class: 'plain', onclick: signOut }, 'Sign out')],
      outcome !== undefined && h('span', { class: outcome.tone, role: 'status' }, outcome.text))
      : actions.why !== undefined && h('p', { class: 'quiet' }, actions.why),
    list.items.map((line) => card(line, actions.enabled, at)),
    pager(list, server.kind === 'fleet' ? 'No rule is being rolled out.' : 'No rule is split.'),
  ]
}

/** @param {RolloutLine} line @param {boolean} enabled @param {number} at */
function card(line, enabled, at) {
  const { route, rule, phase, message, step, steps = [], stepStartedAt, gates = [], history = [], revision, commands = [], mirror, variants } = line
  const toned = variants.map(({ variant, weight }, i) => ({ variant, share: weight, weight, tone: i % 5 }))
  return h('article', { key: `${route}\n${rule}`, class: 'panel card rollout' },
    h('header', null, h('h3', null, ruleName(route, rule)),
      h('p', null, phase !== undefined && h('span', { class: `pill ${phases[phase] ?? ''}` }, phase === 'AwaitingApproval' ? 'Awaiting approval' : phase),
        revision !== undefined && h('span', { class: 'quiet' }, `revision ${revision}`),
        stepStartedAt !== undefined && h('span', { class: 'quiet' }, `this step for ${age(Math.max(0, at - Date.parse(stepStartedAt)) / 1000)}`))),
    message !== undefined && message !== '' && h('p', null, message),
    steps.length > 0 && h('ol', { class: 'steps' }, steps.map(({ percent: share, hold, approval }, i) => {
      const place = step === undefined || step === 0 ? '' : i + 1 < step ? 'done' : i + 1 === step ? 'now' : ''
      return h('li', { class: place, 'aria-current': place === 'now' ? 'step' : undefined }, h('strong', null, `${share} %`),
        h('span', { class: 'quiet' }, [...(hold === undefined ? [] : [hold]), ...(approval === true ? ['approval'] : [])].join(', ')))
    })),
    toned.length > 1 && splitBar(toned),
    variantTable(variants),
    mirror !== undefined && h('p', { class: 'quiet' }, `${mirror.percent} % of the requests are copied to `, h('strong', null, mirror.variant)),
    gates.length > 0 && h('ul', { class: 'gates' }, gates.map(gateLine)),
    enabled && commands.length > 0 && h('div', { class: 'buttons' }, commands.map((action) =>
      h('button', { key: action, type: 'button', class: words[action]?.[2] ?? '', onclick: () => ask({ action, line }) }, words[action]?.[0] ?? action))),
    history.length > 0 && h('details', { class: 'history' }, h('summary', null, 'What became of it'),
      h('ol', null, history.map((one) => h('li', null, h('time', { datetime: one.at, class: 'quiet' }, clock(one.at)), h('strong', { class: one.type === 'Warning' ? 'warn' : '' }, one.reason), h('span', null, one.message))))))
}

const columns = [
  { title: 'Variant' }, { title: 'Share', numeric: true }, { title: 'Requests', numeric: true, hint: 'Of this step' },
  { title: 'Failed', numeric: true, hint: 'Of this step' }, { title: 'p95', numeric: true, hint: 'To the first byte of an answer' },
]

/** @param {RolloutLine['variants']} variants */
function variantTable(variants) {
  return table('Variants of this rollout', columns, variants.map(({ variant, weight, target, requests, failed, p95 }, i) => row(variant, [
    h('span', { class: 'variant' }, h('span', { class: `swatch tone-${i % 5}`, 'aria-hidden': 'true' }), variant),
    h('span', null, h('strong', null, percent(weight)), target !== undefined && Math.abs(target - weight) > 1e-6 && h('span', { class: 'quiet' }, ` → ${percent(target)}`)),
    requests === undefined ? '–' : count(requests),
    requests === undefined || failed === undefined ? '–' : h('span', { class: failed > 0 ? 'bad' : '' }, requests === 0 ? count(failed) : `${count(failed)} (${percent(failed / requests)})`),
    duration(p95),
  ], columns)))
}

/** @param {NonNullable<RolloutLine['gates']>[number]} gate */
function gateLine({ name, state, message, bound, candidate, stable }) {
  const [tone, mark] = /** @type {const} */ ({ passing: ['good', '✓'], failing: ['bad', '✕'], waiting: ['warn', '…'] })[state]
  const told = (/** @type {typeof candidate} */ estimate) => estimate === null || estimate === undefined ? undefined
    : `${short(estimate.value)}${estimate.low === null || estimate.high === null ? '' : ` (${short(estimate.low)} to ${short(estimate.high)})`}`
  return h('li', { key: name }, h('span', { class: `mark ${tone}`, 'aria-hidden': 'true' }, mark),
    h('div', null, h('p', null, h('strong', null, name), h('span', { class: tone }, state), bound !== undefined && h('span', { class: 'quiet' }, bound)),
      message !== '' && h('p', { class: 'quiet' }, message),
      (told(candidate) !== undefined || told(stable) !== undefined) && h('p', { class: 'quiet' }, [...(told(candidate) === undefined ? [] : [`candidate ${told(candidate)}`]), ...(told(stable) === undefined ? [] : [`stable ${told(stable)}`])].join(', '))))
}

/** @param {number} value */
const short = (value) => Math.abs(value) < 1e-5 ? '0' : String(Number(value.toPrecision(3)))
