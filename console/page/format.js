/** Numbers as people read them. */

const dash = '–'

/** @param {number | null | undefined} value */
export function rate(value) {
  if (value === null || value === undefined) return dash
  if (value === 0) return '0'
  if (value < 0.1) return '<0.1'
  return count(value < 10 ? Math.round(value * 10) / 10 : Math.round(value))
}

/** @param {number} value */
export function count(value) {
  if (value < 10_000) return value.toLocaleString('en')
  for (const [unit, size] of /** @type {const} */ ([['G', 1e9], ['M', 1e6], ['k', 1e3]])) {
    if (value >= size) return `${trimmed(value / size)} ${unit}`
  }
  return String(value)
}

/** @param {number} value */
const trimmed = (value) => value < 100 ? value.toFixed(1).replace(/\.0$/, '') : Math.round(value).toLocaleString('en')

/** @param {number | null | undefined} value a part of one */
export function percent(value) {
  if (value === null || value === undefined) return dash
  const hundredths = value * 100
  if (hundredths > 0 && hundredths < 0.1) return '<0.1 %'
  return `${hundredths >= 99.95 || hundredths === 0 ? Math.round(hundredths) : hundredths.toFixed(1).replace(/\.0$/, '')} %`
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return dash
  if (seconds < 0.0995) return `${seconds * 1000 < 9.95 ? (seconds * 1000).toFixed(1) : Math.round(seconds * 1000)} ms`
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`
  return seconds < 100 ? `${seconds.toFixed(seconds < 10 ? 2 : 1)} s` : age(seconds)
}

/** @param {number} seconds */
export function age(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`
}

/** @param {number} value */
export function bytes(value) {
  if (value < 1024) return `${value} B`
  for (const [unit, size] of /** @type {const} */ ([['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]])) {
    if (value >= size) return `${trimmed(value / size)} ${unit}`
  }
  return String(value)
}

/** @param {number | string} at */
export const clock = (at) => new Date(at).toLocaleTimeString('en-GB')

/** @param {number} amount @param {string} one @param {string} [several] */
export const plural = (amount, one, several = `${one}s`) => `${count(amount)} ${amount === 1 ? one : several}`
