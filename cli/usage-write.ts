import type { Report } from './usage-sums.ts'

/** RFC 4180. What a spreadsheet would take for a formula begins with an apostrophe: names may be chosen by callers. */
export function csvOf({ columns, numeric, lines }: Report): string {
  const cell = (text: string, i: number) => {
    const safe = !numeric.has(columns[i] ?? '') && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
  }
  return [columns, ...lines].map((line) => `${line.map(cell).join(',')}\r\n`).join('')
}

/** Decimals stay texts: a double would not have all of their digits. */
export function jsonOf({ columns, lines, total }: Report): string {
  const exact = new Set(['cost', 'amount', 'exact', 'unit_price', 'quantity'])
  const items = lines.map((line) => Object.fromEntries(columns.map((name, i) => {
    const text = line[i] ?? ''
    return [name, exact.has(name) || !/^(?:requests|errors|rows|per|\w+_tokens)$/.test(name) ? text : Number(text)]
  })))
  return `${JSON.stringify({ items, ...(total && { total }) }, null, 2)}\n`
}

export function tableOf({ columns, numeric, lines, total }: Report): string {
  const rows = [columns.map((name) => name.toUpperCase()), ...lines.map((line) => line.map(shown))]
  const widths = columns.map((_, i) => rows.reduce((most, row) => Math.max(most, row[i]?.length ?? 0), 0))
  const text = rows.map((row) => row.map((cell, i) => numeric.has(columns[i] ?? '') ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)).join('  ').trimEnd()).join('\n')
  return `${text}\n${total === undefined ? '' : `\nTOTAL ${total.amount} ${total.currency}\n`}`
}

/** What a terminal would obey is shown as JSON writes it. */
const shown = (text: string) => text === '' ? '-' : /[\p{Cc}\p{Cf}]/u.test(text) ? JSON.stringify(text).replaceAll(/[\u007f-\u009f\p{Cf}]/gu, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`) : text
