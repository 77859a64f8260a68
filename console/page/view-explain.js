import { h } from './dom.js'
import { percent } from './format.js'
import { heading, ruleName } from './list.js'
import { redraw } from './place.js'

/**
 * @import { ConsoleState } from '../../table/console.ts'
 * @import { Child } from './dom.js'
 * @typedef {Readonly<{
 *   route?: string, rule?: string, variant?: string, endpoint?: string, code?: string,
 *   steps: readonly Readonly<{ filter: string, verdict: 'pass' | 'answer' | 'refuse', why: string }>[],
 *   considered: readonly Readonly<{ route: string, rule: string, why: string }>[],
 *   endpoints?: readonly Readonly<{ endpoint: string, cost: number, why: string }>[],
 *   caller?: Readonly<{ consumer: string, tier?: string, groups: readonly string[], via: string }>,
 *   limits?: readonly Readonly<{ policy: string, name: string, unit: string, amount: number, left: number | null, allows: boolean, shadow: boolean }>[],
 *   cache?: Readonly<{ result: string, why?: string }>,
 *   split?: Readonly<{ by: string, shares: readonly Readonly<{ variant: string, percent: number }>[] }>,
 * }>} Explanation
 */

const form = { method: 'POST', url: '', headers: '', body: '', as: '', from: '' }
/** @type {Explanation | undefined} */
let explanation
/** @type {string | undefined} */
let problem
let busy = false

/** @param {ConsoleState} state */
export function explain({ explain: url }) {
  if (url === undefined) return h('p', { class: 'empty' }, 'Nobody explains here.')
  return [
    heading('Explain', 'What would be done with a request, and why. Nothing is sent, counted or used up.'),
    h('div', { class: 'beside explaining' },
      h('form', { class: 'panel', 'aria-label': 'Request', onsubmit: (/** @type {SubmitEvent} */ event) => void send(event, url) },
        h('div', { class: 'line' },
          field('method', 'Method', h('select', { id: 'method', name: 'method', value: form.method, onchange: keep }, ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method) => h('option', { value: method, selected: method === form.method }, method)))),
          field('url', 'Address or path', h('input', { id: 'url', name: 'url', value: form.url, oninput: keep, required: true, placeholder: '/v2/models/fraud/infer', autocomplete: 'off', spellcheck: 'false' }))),
        field('headers', 'Headers, one in a line', h('textarea', { id: 'headers', name: 'headers', rows: '3', value: form.headers, oninput: keep, placeholder: 'x-canary: always', spellcheck: 'false' })),
        field('body', 'Body', h('textarea', { id: 'body', name: 'body', rows: '5', value: form.body, oninput: keep, placeholder: '{"inputs": []}', spellcheck: 'false' })),
        h('div', { class: 'line' },
          field('as', 'As consumer', h('input', { id: 'as', name: 'as', value: form.as, oninput: keep, placeholder: 'nobody', autocomplete: 'off', spellcheck: 'false' })),
          field('from', 'From address', h('input', { id: 'from', name: 'from', value: form.from, oninput: keep, placeholder: '203.0.113.7', autocomplete: 'off', spellcheck: 'false' }))),
        h('button', { type: 'submit', class: 'accent', disabled: busy }, busy ? 'Asking…' : 'Explain')),
      h('section', { class: 'panel answer', 'aria-label': 'Explanation', 'aria-live': 'polite' },
        problem !== undefined ? h('p', { class: 'bad' }, problem) : explanation === undefined ? h('p', { class: 'empty' }, 'The way of the request is shown here.') : shown(explanation))),
  ]
}

/** @param {string} id @param {string} label @param {Child} control */
const field = (id, label, control) => h('div', { class: 'field' }, h('label', { for: id }, label), control)

/** @param {Event} event */
function keep(event) {
  const { name, value } = /** @type {HTMLInputElement} */ (event.target)
  if (name in form) Reflect.set(form, name, value)
}

/** @param {SubmitEvent} event @param {string} url */
async function send(event, url) {
  event.preventDefault()
  busy = true
  redraw()
  const headers = form.headers.split('\n').filter((line) => line.trim() !== '').map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()]
  })
  const { method, body, as, from } = form
  const question = { method, url: form.url, headers: Object.fromEntries(headers), ...(body !== '' && { body }), ...(as !== '' && { as }), ...(from !== '' && { from }) }
  try {
    const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(question) })
    const text = await answer.text()
    problem = answer.ok ? undefined : `${answer.status}: ${text.trim().slice(0, 300)}`
    explanation = answer.ok ? JSON.parse(text) : undefined
  } catch (error) {
    problem = `Nobody answers: ${String(error instanceof Error ? error.message : error)}`
  }
  busy = false
  redraw()
}

/** @param {Explanation} told @returns {Child} */
function shown({ route, rule, variant, endpoint, code, steps, considered, endpoints = [], caller, limits = [], cache, split }) {
  const answered = steps.at(-1)?.verdict === 'answer'
  return [
    h('p', { class: `verdict ${code === undefined ? 'good' : 'bad'}` },
      code !== undefined ? ['Refused: ', h('code', null, code)] : answered ? 'Answered by the gateway itself' : ['Sent to ', h('strong', null, variant ?? 'a backend'), endpoint !== undefined && [' at ', h('code', null, endpoint)]]),
    h('dl', { class: 'facts' },
      route !== undefined && [h('dt', null, 'Rule'), h('dd', null, ruleName(route, rule))],
      caller !== undefined && [h('dt', null, 'Caller'), h('dd', null, caller.consumer === '' ? 'nobody known' : caller.consumer, caller.tier !== undefined && h('span', { class: 'tag' }, caller.tier))],
      split !== undefined && [h('dt', null, 'Split'), h('dd', null, split.by, split.shares.length > 1 && `: ${split.shares.map((one) => `${one.variant} ${percent(one.percent / 100)}`).join(', ')}`)],
      cache !== undefined && [h('dt', null, 'Cache'), h('dd', null, cache.result, cache.why !== undefined && `: ${cache.why}`)],
      limits.length > 0 && [h('dt', null, 'Limits'), h('dd', null, h('ul', null, limits.map((one) => h('li', { class: one.allows ? '' : 'bad' },
        `${one.name}: ${one.left === null ? 'not known' : `${Math.floor(one.left)} of ${one.amount} ${one.unit} left`}${one.shadow ? ', only watches' : ''}`))))]),
    h('h3', null, 'The way'),
    h('ol', { class: 'way' }, steps.map(({ filter, verdict, why }) => h('li', { class: verdict },
      h('span', { class: `mark ${verdict === 'refuse' ? 'bad' : 'good'}`, 'aria-hidden': 'true' }, verdict === 'refuse' ? '✕' : verdict === 'answer' ? '↩' : '✓'),
      h('div', null, h('p', null, h('strong', null, filter), h('span', { class: 'visually-hidden' }, ` ${verdict}`)), why !== '' && h('p', { class: 'quiet' }, why))))),
    endpoints.length > 0 && [h('h3', null, 'Endpoints, the likeliest first'),
      h('ul', { class: 'plainly' }, endpoints.slice(0, 10).map((one) => h('li', null, h('code', null, one.endpoint), h('span', { class: 'quiet' }, one.why))))],
    considered.length > 0 && [h('h3', null, 'Why not another rule'),
      h('ul', { class: 'plainly' }, considered.map((one) => h('li', null, ruleName(one.route, one.rule), h('span', { class: 'quiet' }, one.why))))],
  ]
}
