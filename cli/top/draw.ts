import { amount, fit, percent, time, visible } from './text.ts'
import type { Row, Shot } from './rows.ts'

/** How something is meant; a screen without colours leaves it out. */
export type Tone = 'plain' | 'title' | 'bad' | 'quiet'
export type Line = Readonly<{ text: string; tone: Tone }>

type Column = Readonly<{ title: string; width: number; of: (row: Row) => string }>

/** The figures, in the order in which they stand. */
const columns = [
  { title: 'REQ/S', width: 7, of: ({ requests }) => amount(requests) },
  { title: 'ERR', width: 6, of: ({ errors }) => percent(errors) },
  { title: 'P50', width: 7, of: ({ p50 }) => time(p50) },
  { title: 'P95', width: 7, of: ({ p95 }) => time(p95) },
  { title: 'P99', width: 7, of: ({ p99 }) => time(p99) },
  { title: 'INFL', width: 5, of: ({ inFlight }) => amount(inFlight) },
  { title: 'TOK/S', width: 6, of: ({ tokens }) => amount(tokens) },
  { title: 'COST/S', width: 6, of: ({ cost }) => amount(cost) },
  { title: 'SHARE', width: 6, of: ({ share }) => percent(share) },
  { title: 'WEIGHT', width: 6, of: ({ weight }) => percent(weight) },
] as const satisfies readonly Column[]

/** Which go first where there is no room for all. */
const dispensable = ['COST/S', 'TOK/S', 'P50', 'INFL', 'P99', 'WEIGHT', 'SHARE', 'ERR', 'P95'] as const
/** Letters that a name is not cut below, as long as a figure can go in its place. */
const namesLeast = 24

export function columnsFor(width: number): readonly Column[] {
  const left: Column[] = [...columns]
  for (const title of dispensable) {
    if (widthOf(left) + namesLeast <= width) break
    left.splice(left.findIndex((column) => column.title === title), 1)
  }
  return left
}

const widthOf = (all: readonly Column[]) => all.reduce((sum, { width }) => sum + width + 1, 0)

/** `ml/fraud infer canary v2`, of a row. */
function nameOf({ route, rule, variant, version }: Pick<Row, 'route' | 'rule' | 'variant' | 'version'>): string {
  const parts = route === '' ? ['(no route)'] : [route, rule, variant === '' ? '-' : variant, ...(version === '' ? [] : [`v${version}`])]
  return visible(parts.join(' '))
}

export type Shown = Readonly<{
  shot: Shot | undefined
  /** Where it comes from. */
  from: string
  /** Why there is nothing newer. */
  problem: string | undefined
  sort: string
  filter: string
  /** Rows above the first one that is shown. */
  offset: number
  /** Keys are read. */
  keys: boolean
}>

/** A screen of so many letters and lines; never more of either. */
export function draw(shown: Shown, width: number, height: number): readonly Line[] {
  const { shot, problem, keys, offset } = shown
  const head: Line[] = headOf(shown)
  if (problem !== undefined) head.push({ text: visible(problem), tone: 'bad' })
  const foot: Line[] = shot === undefined ? [] : troubles(shot)
  if (keys) foot.push({ text: 'q quit  r requests  e errors  l latency  n name  / filter  arrows scroll', tone: 'quiet' })
  const room = Math.max(0, height - head.length - Math.min(foot.length, Math.max(1, Math.floor(height / 3))) - 1)
  const chosen = columnsFor(width)
  const names = Math.max(0, width - widthOf(chosen))
  const rows = (shot?.rows ?? []).slice(offset, offset + room).map((row): Line => ({
    text: fit(`${row.open ? '! ' : ''}${nameOf(row)}`, names) + chosen.map(({ of, width: wide }) => ` ${fit(of(row), wide, 'right')}`).join(''),
    tone: row.open || (row.errors ?? 0) >= 0.05 ? 'bad' : row.requests === 0 ? 'quiet' : 'plain',
  }))
  const titles = fit('ROUTE RULE VARIANT', names) + chosen.map(({ title, width: wide }) => ` ${fit(title, wide, 'right')}`).join('')
  const body = shot === undefined ? [] : [{ text: titles, tone: 'title' as const }, ...rows]
  const last = foot.slice(-Math.max(0, height - head.length - body.length))
  return [...head, ...body, ...last].slice(0, height).map(({ text, tone }) => ({ text: fit(text, width), tone }))
}

function headOf({ shot, from, sort, filter }: Shown): Line[] {
  const what = `modelroute top  ${visible(from)}  by ${sort}${filter === '' ? '' : `  only ${visible(filter)}`}`
  if (shot === undefined) return [{ text: what, tone: 'title' }]
  const { total, proxies } = shot
  const fleet = proxies === undefined ? '' : `  ${proxies.connected} proxies${proxies.behind > 0 ? `, ${proxies.behind} behind` : ''}${proxies.refusing > 0 ? `, ${proxies.refusing} refuse routes` : ''}`
  const sums = `${amount(total.requests)} req/s  ${percent(total.errors)} errors  p50 ${time(total.p50)}  p95 ${time(total.p95)}  p99 ${time(total.p99)}  ${amount(total.inFlight)} in flight`
  return [
    { text: `${what}  ${new Date(shot.at).toISOString().slice(11, 19)}${fleet}`, tone: 'title' },
    { text: `${sums}  ${amount(total.tokens)} tokens/s  ${amount(total.cost)} cost/s`, tone: 'plain' },
  ]
}

const circuitsShown = 5
const limitsShown = 5

function troubles({ circuits, limits, more }: Shot): Line[] {
  return [
    ...(more > 0 ? [{ text: `${more} more rules: filter with /`, tone: 'quiet' as const }] : []),
    ...circuits.slice(0, circuitsShown).map((one): Line => ({ text: `circuit ${visible(one.circuit)}: ${nameOf(one)}${one.out > 0 ? `, ${one.out} endpoints out` : ''}`, tone: 'bad' })),
    ...limits.slice(0, limitsShown).map(({ policy, limit, perSecond, rejected }): Line => (
      { text: `limit hit: ${visible(`${policy} ${limit}`)} ${amount(perSecond)}/s, ${amount(rejected)} in all`, tone: (perSecond ?? 0) > 0 ? 'bad' : 'quiet' })),
  ]
}

/** The same without a screen: a line a row, so that it can be searched and cut. */
export function lines({ at, total, rows, limits, circuits }: Shot): string {
  const time8601 = new Date(at).toISOString()
  const wide: readonly Column[] = columns
  const figures = (row: Row) => wide.map(({ title, of }) => ` ${title.toLowerCase()}=${of(row)}`).join('')
  return [
    `${time8601} total${figures({ ...total, route: '', rule: '', variant: '', version: '', share: null, weight: null, open: false })}`,
    ...rows.map((row) => `${time8601} ${nameOf(row)}${figures(row)}${row.open ? ' circuit=open' : ''}`),
    ...circuits.map((one) => `${time8601} circuit ${visible(one.circuit)} ${nameOf(one)}`),
    ...limits.map(({ policy, limit, perSecond, rejected }) => `${time8601} limit ${visible(`${policy} ${limit}`)} rejected/s=${amount(perSecond)} rejected=${amount(rejected)}`),
  ].map((line) => `${line}\n`).join('')
}
