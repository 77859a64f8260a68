/**
 * Text that others chose, for a terminal: whatever it could be told to do, and whatever would be wider or narrower than
 * a letter, is written out. Names of routes are ASCII; those of models and limits may be anything.
 */
export function visible(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/gu, (letter) => `\\u{${(letter.codePointAt(0) ?? 0).toString(16)}}`)
}

/** So many letters: filled up, or cut with a sign of it. */
export function fit(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  if (text.length > width) return width <= 0 ? '' : `${text.slice(0, width - 1)}~`
  return align === 'left' ? text.padEnd(width) : text.padStart(width)
}

const units = ['', 'k', 'M', 'G', 'T'] as const

/** `0`, `0.25`, `12.5`, `980`, `12.5k`. */
export function amount(value: number | null | undefined): string {
  if (value === null || value === undefined) return '-'
  let [at, rest] = [0, value]
  while (rest >= 999.5 && at < units.length - 1) {
    rest /= 1000
    at++
  }
  const digits = rest === 0 || (at === 0 && Number.isInteger(rest)) || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2
  return `${rest.toFixed(digits)}${units[at] ?? ''}`
}

/** `0 %`, `0.25 %`, `12.5 %`; of a share from 0 to 1. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined) return '-'
  const of100 = share * 100
  return `${of100.toFixed(of100 === 0 || of100 >= 99.95 ? 0 : of100 >= 9.995 ? 1 : 2)}%`
}

/** `850us`, `12.5ms`, `1.25s`; seconds in. */
export function time(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return '-'
  if (seconds >= 0.9995) return `${three(seconds)}s`
  return seconds >= 0.0009995 ? `${three(seconds * 1000)}ms` : `${three(seconds * 1e6)}us`
}

const three = (value: number) => (value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2))
