/** How the values of a panel are written; Grafana's names. */
export type Unit = 'reqps' | 'percentunit' | 's' | 'bytes' | 'short' | 'none' | 'cps'

/** `queries`: PromQL, and what a line is called. `as`: lines, lines on top of each other, one number, or a table. */
export type Panel = Readonly<{
  title: string
  why: string
  unit: Unit
  as?: 'lines' | 'stack' | 'number' | 'table'
  queries: readonly (readonly [expr: string, legend: string])[]
}>

/** `variables`: what can be chosen, each from the values of a label of a metric. */
export type Dashboard = Readonly<{
  file: string
  title: string
  description: string
  variables: readonly Readonly<{ name: string; label: string; metric: string }>[]
  panels: readonly Panel[]
}>

const source = { type: 'prometheus', uid: '$datasource' }
const kinds = { lines: 'timeseries', stack: 'timeseries', number: 'stat', table: 'table' } as const

/** A third of Grafana's 24 columns each, eight rows high. */
const [width, height] = [8, 8]

/** As Grafana imports it. */
export function grafana({ file, title, description, variables, panels }: Dashboard): object {
  return {
    uid: `modelroute-${file}`,
    title: `ModelRoute / ${title}`,
    description,
    tags: ['modelroute'],
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    time: { from: 'now-1h', to: 'now' },
    refresh: '30s',
    links: [{ type: 'dashboards', title: 'ModelRoute', tags: ['modelroute'], asDropdown: true, includeVars: true, keepTime: true }],
    templating: {
      list: [
        { name: 'datasource', label: 'Prometheus', type: 'datasource', query: 'prometheus' },
        ...variables.map(({ name, label, metric }) => ({
          name, label, type: 'query', datasource: source, refresh: 2, sort: 1, multi: true, includeAll: true, allValue: '.*',
          current: { text: 'All', value: '$__all' },
          query: { query: `label_values(${metric}, ${name})`, refId: name },
        })),
      ],
    },
    panels: panels.map((panel, at) => grafanaPanel(panel, at)),
  }
}

function grafanaPanel({ title, why, unit, as = 'lines', queries }: Panel, at: number): object {
  return {
    id: at + 1,
    title,
    description: why,
    type: kinds[as],
    datasource: source,
    gridPos: { x: at % 3 * width, y: Math.floor(at / 3) * height, w: width, h: height },
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        custom: as === 'stack' ? { fillOpacity: 30, stacking: { mode: 'normal' } } : as === 'lines' ? { fillOpacity: 0 } : {},
      },
      overrides: [],
    },
    options: as === 'lines' || as === 'stack'
      ? { legend: { displayMode: 'table', placement: 'bottom', calcs: ['lastNotNull', 'max'] }, tooltip: { mode: 'multi', sort: 'desc' } }
      : {},
    targets: queries.map(([expr, legendFormat], i) => ({
      refId: String.fromCodePoint(65 + i),
      datasource: source,
      expr,
      legendFormat,
      ...(as === 'table' ? { format: 'table', instant: true } : {}),
      // The dots of traces, in panels of histograms (docs/metrics.md).
      ...(expr.includes('_bucket') ? { exemplar: true } : {}),
    })),
  }
}
