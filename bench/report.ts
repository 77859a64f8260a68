/** What was measured of one proxy; a work that was not run leaves its figures out. */
export type Figures = Readonly<Partial<Record<
  'rate' | 'cpu' | 'busy' | 'load' | 'wrong' | 'idle' | 'p50' | 'p99' | 'openWrong' | 'chunk' | 'chunkP99' | 'chunkFast' | 'eventsWrong'
  | 'up' | 'upCpu' | 'down' | 'downCpu' | 'grown' | 'grown50' | 'bodiesWrong', number
>>>
export type Row = Readonly<{ name: string; figures: Figures }>

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const [low = Number.NaN, high = Number.NaN] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  return (low + high) / 2
}

const names: Readonly<Record<string, string>> = {
  go: 'Go httputil.ReverseProxy',
  express: 'Express + http-proxy',
  naive: 'naive gateway',
  portkey: 'Portkey gateway',
  litellm: 'LiteLLM proxy',
  off: '**ModelRoute**, one route',
  on: '**ModelRoute**, API key, limit, split over four endpoints',
  logged: '**ModelRoute**, the same with access log',
  many: '**ModelRoute**, 5,000 routes',
}

type Column = Readonly<{ title: string; of: (figures: Figures, nginx: Figures | undefined) => string }>

const plain = (title: string, key: keyof Figures, digits = 0): Column => ({ title, of: (figures) => number(figures[key], digits) })
const ratio = (title: string, key: keyof Figures): Column => ({
  title, of: (figures, nginx) => number((figures[key] ?? Number.NaN) / (nginx?.[key] ?? Number.NaN), 2),
})

const parts: Readonly<Record<string, readonly Column[]>> = {
  requests: [
    plain('requests/s', 'rate'), ratio('× nginx', 'rate'), plain('CPU µs/request', 'cpu', 1), ratio('× nginx', 'cpu'),
    plain('core busy %', 'busy'), plain('RSS idle', 'idle'), plain('RSS load MiB', 'load'), plain('failed', 'wrong'),
  ],
  open: [plain('added p50 ms', 'p50', 2), plain('added p99 ms', 'p99', 2), plain('failed', 'openWrong')],
  events: [
    plain('CPU µs/chunk', 'chunk', 1), ratio('× nginx', 'chunk'), plain('added p99 ms', 'chunkP99', 2),
    plain('unpaced µs/chunk', 'chunkFast', 1), ratio('× nginx', 'chunkFast'), plain('failed', 'eventsWrong'),
  ],
  bodies: [
    plain('up MiB/s', 'up'), ratio('× nginx', 'up'), plain('CPU µs/MiB', 'upCpu'), plain('down MiB/s', 'down'), ratio('× nginx', 'down'),
    plain('CPU µs/MiB', 'downCpu'), plain('RSS + MiB', 'grown'), plain('50 at once + MiB', 'grown50'), plain('failed', 'bodiesWrong'),
  ],
}

const number = (value: number | undefined, digits: number) => value === undefined || Number.isNaN(value)
  ? '–'
  : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** The Markdown table of one kind of work. */
export function report(part: string, rows: readonly Row[]): string {
  const columns = parts[part] ?? []
  const nginx = rows.find(({ name }) => name === 'nginx')?.figures
  const lines = rows.map(({ name, figures }) => ({ name, cells: columns.map((column) => column.of(figures, nginx)) }))
    .filter(({ cells }) => cells[0] !== '–')
    .map(({ name, cells }) => `| ${[names[name] ?? name, ...cells].join(' | ')} |`)
  return [`| ${['proxy', ...columns.map(({ title }) => title)].join(' | ')} |`, `| --- |${' ---: |'.repeat(columns.length)}`, ...lines, ''].join('\n')
}
