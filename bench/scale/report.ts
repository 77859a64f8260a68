/** A figure, and the line that it is to keep within; `held` is absent where there is none. */
export type Line = Readonly<{ what: string; found: string; line: string; held?: boolean }>

export function markdown(lines: readonly Line[]): string {
  const rows = lines.map(({ what, found, line, held }) => `| ${what} | ${line} | ${found}${held === false ? ' **missed**' : ''} |`)
  return `${['| figure | line | found |', '| --- | --- | --- |', ...rows].join('\n')}\n`
}

/** A quantile, to a tenth. */
export function of(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN).toFixed(1))
}
