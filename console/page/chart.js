import { h } from './dom.js'
import { percent } from './format.js'

/** Looks that are remembered: a minute. A line is drawn as long as that only once it has some length. */
const length = 60
const least = 20

/**
 * What the page saw of a number, look by look. What is not looked at for a minute is forgotten.
 * @typedef {{ values: (number | null)[], seen: number }} Line
 * @type {Map<string, Line>}
 */
const lines = new Map()
let looks = 0

/** @param {string} key @param {number | null} value */
export function remember(key, value) {
  const line = lines.get(key) ?? { values: [], seen: 0 }
  lines.set(key, line)
  // A picture may be made several times of one look.
  if (line.seen === looks && line.values.length > 0) line.values[line.values.length - 1] = value
  else line.values.push(value)
  if (line.values.length > length) line.values.shift()
  line.seen = looks
  return line.values
}

export function nextLook() {
  looks++
  for (const [key, { seen }] of lines) if (looks - seen > length) lines.delete(key)
}

/**
 * The last minute as a line. It says nothing that is not in numbers beside it.
 * @param {readonly (number | null)[]} values @param {Readonly<{ width?: number, height?: number, tone?: string }>} [look]
 */
export function sparkline(values, { width = 88, height = 22, tone = '' } = {}) {
  const most = Math.max(...values.map((value) => value ?? 0), Number.MIN_VALUE)
  const step = width / (Math.max(values.length, least) - 1)
  const from = width - (values.length - 1) * step
  const y = (/** @type {number} */ value) => (height - 1.5 - (value / most) * (height - 3)).toFixed(1)
  const points = values.flatMap((value, i) => value === null ? [] : [`${(from + i * step).toFixed(1)} ${y(value)}`])
  const line = points.length < 2 ? '' : `M${points.join('L')}`
  const last = points.at(-1)?.split(' ')[0] ?? '0'
  const first = points[0]?.split(' ')[0] ?? '0'
  return h('svg', { class: `spark ${tone}`, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true', focusable: 'false' },
    line !== '' && h('path', { class: 'area', d: `${line}L${last} ${height}L${first} ${height}Z` }),
    h('path', { class: 'line', d: line }))
}

/**
 * What the variants of a rule got, side by side, and by ticks what the table gives them.
 * @param {readonly Readonly<{ variant: string, share: number | null, weight: number | null, tone: number }>[]} parts
 */
export function splitBar(parts) {
  let [at, mark] = [0, 0]
  const bars = parts.map(({ share, weight, tone }) => {
    const x = at * 100
    at += share ?? weight ?? 0
    return h('rect', { class: `tone-${tone}${share === null ? ' idle' : ''}`, x: x.toFixed(2), y: '0', width: ((share ?? weight ?? 0) * 100).toFixed(2), height: '8' })
  })
  const ticks = parts.slice(0, -1).map(({ weight }) => {
    mark += weight ?? 0
    return h('line', { class: 'tick', x1: (mark * 100).toFixed(2), x2: (mark * 100).toFixed(2), y1: '0', y2: '8' })
  })
  const words = parts.map(({ variant, share, weight }) => `${variant} ${percent(share)} of ${percent(weight)}`).join(', ')
  return h('svg', { class: 'split', viewBox: '0 0 100 8', preserveAspectRatio: 'none', role: 'img', 'aria-label': words }, bars, ticks)
}

/** @param {number | null | undefined} part 0 to 1 @param {string} label @param {string} [tone] */
export function meter(part, label, tone = '') {
  const width = Math.min(Math.max(part ?? 0, 0), 1) * 100
  return h('svg', { class: `meter ${tone}`, viewBox: '0 0 100 6', preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    h('rect', { class: 'ground', x: '0', y: '0', width: '100', height: '6' }),
    h('rect', { class: 'fill', x: '0', y: '0', width: width.toFixed(2), height: '6' }))
}
