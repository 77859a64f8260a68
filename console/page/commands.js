import { h } from './dom.js'
import { redraw } from './place.js'

/**
 * Commands about rollouts: only where the server offers them, only with a token that the reader gave and that stands
 * nowhere but in the memory of this page, and each asked about once more.
 *
 * @import { ConsoleState, RolloutLine } from '../../table/console.ts'
 * @typedef {Readonly<{ action: string, line: RolloutLine }>} Command
 */

/** @type {Readonly<Record<string, readonly [word: string, meaning: string, tone: string]>>} */
export const words = {
  promote: ['Promote', 'It goes on to the next step without waiting any longer.', 'accent'],
  'promote-full': ['Promote fully', 'All requests go to the candidate, past the steps that are left.', 'bad'],
  pause: ['Pause', 'The shares stay as they are until it is resumed.', ''],
  resume: ['Resume', 'It goes on by its steps.', 'accent'],
  abort: ['Abort', 'The candidate gets nothing any more.', 'bad'],
  undo: ['Undo', 'The version before is in force again.', 'bad'],
  retry: ['Retry', 'It begins anew at its first step.', 'accent'],
  'set-weight': ['Set weights', 'They stand in the manifest from then on; a rule with a rollout goes there by its steps.', ''],
}

/** @type {string | undefined} */
let token
/** @type {string | undefined} */
let name
/** @type {{ command: Command | undefined, problem: string | undefined, busy: boolean } | undefined} */
let open
/** What became of the last command. @type {Readonly<{ text: string, tone: string }> | undefined} */
let outcome

export const signedIn = () => name
export const lastOutcome = () => outcome

export function signOut() {
  token = undefined
  name = undefined
  redraw()
}

/** @param {Command | undefined} command undefined: only to sign in */
export function ask(command) {
  open = { command, problem: undefined, busy: false }
  redraw()
  const dialog = document.querySelector('dialog')
  if (dialog !== null && !dialog.open) dialog.showModal()
}

/** @param {ConsoleState | undefined} state */
export function dialogs(state) {
  if (open === undefined || state === undefined || !state.actions.enabled) return undefined
  const { command, problem, busy } = open
  const [word = '', meaning = ''] = words[command?.action ?? ''] ?? [command?.action ?? '']
  const close = () => document.querySelector('dialog')?.close()
  return h('dialog', { key: 'command', 'aria-labelledby': 'dialog-title', onclose: closed },
    h('form', { method: 'dialog', onsubmit: (/** @type {SubmitEvent} */ event) => void send(event, state) },
      h('h2', { id: 'dialog-title' }, command === undefined ? 'Sign in' : `${word} ${command.line.route}, ${command.line.rule}?`),
      command !== undefined && h('p', null, meaning),
      command?.action === 'set-weight' && command.line.variants.map(({ variant, weight, target = weight }) => h('label', { key: variant }, `Weight of ${variant}`,
        h('input', { name: 'weight', 'data-variant': variant, type: 'number', min: '0', max: '1000000', step: '1', required: true, value: String(Math.round(target * 100)) }))),
      name === undefined && h('label', null, state.actions.token === 'kubernetes' ? 'Token of the cluster' : 'Token',
        h('input', { name: 'token', type: 'password', autocomplete: 'off', required: true, spellcheck: 'false' })),
      name === undefined && h('p', { class: 'quiet' }, 'It is kept in the memory of this page only, and gone with it.'),
      problem !== undefined && h('p', { class: 'bad', role: 'alert' }, problem),
      h('div', { class: 'buttons' },
        h('button', { type: 'button', onclick: close }, 'Cancel'),
        h('button', { type: 'submit', class: words[command?.action ?? '']?.[2] || 'accent', disabled: busy }, command === undefined ? 'Sign in' : word))))
}

function closed() {
  open = undefined
  redraw()
}

/** @param {SubmitEvent} event @param {ConsoleState} state */
async function send(event, { actions }) {
  event.preventDefault()
  const now = open
  const dialog = document.querySelector('dialog')
  const form = /** @type {HTMLFormElement} */ (event.target)
  /** @type {HTMLInputElement | null} */
  const input = form.querySelector('input[name="token"]')
  /** @type {NodeListOf<HTMLInputElement>} */
  const inputs = form.querySelectorAll('input[name="weight"]')
  const weights = [...inputs].map((each) => ({ variant: each.dataset['variant'] ?? '', weight: Number(each.value) }))
  if (now === undefined || now.busy) return
  now.busy = true
  now.problem = undefined
  redraw()
  if (name === undefined && input !== null) {
    token = input.value
    const { problem, body } = await post(actions.session, {})
    if (problem === undefined) name = textOf(body['name']) ?? ''
    else {
      token = undefined
      now.problem = problem
    }
    input.value = ''
  }
  if (now.problem === undefined && now.command !== undefined) {
    const { action, line: { route, rule, specHash } } = now.command
    const slash = route.indexOf('/')
    const { problem, status } = await post(actions.url, { namespace: route.slice(0, slash), route: route.slice(slash + 1), rule, action, ...(specHash !== undefined && { specHash }), ...(action === 'set-weight' && { weights }) })
    now.problem = problem
    if (status === 401) signOut()
    if (problem === undefined) outcome = { text: `${words[action]?.[0] ?? action}: ${route}, ${rule} was taken.`, tone: 'good' }
  }
  now.busy = false
  if (now.problem === undefined) dialog?.close()
  redraw()
}

/** @param {string | undefined} url @param {Readonly<Record<string, unknown>>} said */
async function post(url, said) {
  /** @type {Readonly<Record<string, unknown>>} */
  const none = {}
  if (url === undefined) return { problem: 'The server offers no such thing.', body: none, status: 0 }
  try {
    const answer = await fetch(url, {
      method: 'POST', body: JSON.stringify(said),
      headers: { 'content-type': 'application/json', 'x-modelroute-console': '1', authorization: `Bearer ${token}` },
    })
    const text = await answer.text()
    /** @type {Readonly<Record<string, unknown>>} */
    let body = none
    try {
      body = JSON.parse(text)
    } catch {
      // It is told as it stands.
    }
    return answer.ok ? { problem: undefined, body, status: answer.status }
      : { problem: `${answer.status}: ${(textOf(body['error']) ?? text).slice(0, 300)}`, body, status: answer.status }
  } catch (error) {
    return { problem: `Nobody answers: ${String(error instanceof Error ? error.message : error)}`, body: none, status: 0 }
  }
}

/** @param {unknown} value */
const textOf = (value) => typeof value === 'string' ? value : undefined
