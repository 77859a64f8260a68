import { h } from './dom.js'
import { count } from './format.js'
import { current, go } from './place.js'

/**
 * @import { Child } from './dom.js'
 * @typedef {Readonly<{ title: string, sort?: string, numeric?: boolean, wide?: 1 | 2, hint?: string }>} Column `wide`: left out where there is little room, 2 before 1
 */

/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing

/** The heading of a view, and where its list is searched. @param {string} title @param {string} about @param {string} [what] */
export function heading(title, about, what) {
  return h('div', { class: 'heading' },
    h('div', null, h('h2', null, title), h('p', { class: 'quiet' }, about)),
    what !== undefined && h('div', { class: 'search' },
      h('label', { for: 'search', class: 'visually-hidden' }, `Search ${what}`),
      h('input', { id: 'search', type: 'search', value: current().search, placeholder: `Search ${what}`, autocomplete: 'off', spellcheck: 'false', maxlength: '200', oninput: type, onkeydown: leave }),
      h('kbd', { 'aria-hidden': 'true' }, '/')))
}

/** @param {Event} event */
function type({ target }) {
  clearTimeout(typing)
  typing = setTimeout(() => go({ search: /** @type {HTMLInputElement} */ (target).value }), 150)
}

/** @param {KeyboardEvent} event */
function leave(event) {
  if (event.key !== 'Escape') return
  const input = /** @type {HTMLInputElement} */ (event.target)
  if (input.value === '') input.blur()
  else {
    input.value = ''
    go({ search: '' })
  }
}

/**
 * A table; where there is little room its rows become cards, and stay rows for whoever listens.
 * @param {string} caption @param {readonly Column[]} columns @param {Child} rows
 */
export function table(caption, columns, rows) {
  return h('table', { role: 'table', class: 'list' },
    h('caption', { class: 'visually-hidden' }, caption),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, columns.map((column) => head(column)))),
    h('tbody', { role: 'rowgroup' }, rows))
}

/** @param {boolean | undefined} numeric @param {1 | 2 | undefined} wide */
const classOf = (numeric, wide) => `${numeric === true ? 'number' : ''} ${wide === undefined ? '' : `wide-${wide}`}`

/** @param {Column} column */
function head({ title, sort, numeric, wide, hint }) {
  const sorted = sort !== undefined && current().sort === sort
  const direction = sort === 'name' ? 'ascending' : 'descending'
  return h('th', { scope: 'col', role: 'columnheader', class: classOf(numeric, wide), 'aria-sort': sorted ? direction : undefined, title: hint },
    sort === undefined ? title : h('button', { type: 'button', onclick: () => go({ sort }) }, sorted && h('span', { class: 'arrow', 'aria-hidden': 'true' }, sort === 'name' ? '↑' : '↓'), title))
}

/**
 * @param {string} key @param {readonly Child[]} cells @param {readonly Column[]} columns @param {string} [kind]
 */
export function row(key, cells, columns, kind = '') {
  return h('tr', { key, role: 'row', class: kind }, cells.map((cell, i) => {
    const { title = '', numeric, wide } = columns[i] ?? {}
    return h(i === 0 ? 'th' : 'td', { role: i === 0 ? 'rowheader' : 'cell', scope: i === 0 ? 'row' : undefined, class: classOf(numeric, wide), 'data-title': i === 0 ? undefined : title }, cell)
  }))
}

/**
 * What is shown of how many, and the way on. @param {Readonly<{ total: number, offset: number, items: readonly unknown[] }>} list
 * @param {string} nothing said where there is none
 */
export function pager({ total, offset, items }, nothing) {
  const { search } = current()
  if (total === 0) return h('p', { class: 'empty' }, search === '' ? nothing : `Nothing has “${search}” in its names.`)
  const step = 25
  const more = offset + items.length < Math.min(total, 1000)
  return h('div', { class: 'pager' },
    h('p', { class: 'quiet' }, items.length === total ? `${count(total)} in all` : `${count(offset + 1)} to ${count(offset + items.length)} of ${count(total)}`,
      !more && offset + items.length < total && '; search for more'),
    total > step && h('div', null,
      h('button', { type: 'button', disabled: offset === 0, onclick: () => go({ offset: Math.max(0, current().offset - step) }) }, 'Previous'),
      h('button', { type: 'button', disabled: !more, onclick: () => go({ offset: current().offset + step }) }, 'Next')))
}

/** `namespace/name` and rule, the name before all. @param {string} route @param {string} [rule] */
export function ruleName(route, rule = '') {
  const slash = route.indexOf('/')
  return h('span', { class: 'rule' }, h('span', { class: 'quiet' }, route.slice(0, slash + 1)), h('strong', null, route.slice(slash + 1)), rule !== '' && h('span', { class: 'of' }, rule))
}
