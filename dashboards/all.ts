import { controller } from './controller.ts'
import { limits, tokens, upstreams } from './models.ts'
import { grafana, type Dashboard } from './panel.ts'
import { canary, overview } from './requests.ts'

export const dashboards: readonly Dashboard[] = [overview, canary, tokens, limits, upstreams, controller]

/** The text of a dashboard's file in the chart, a line each panel: a change shows where it is. */
export function textOf(dashboard: Dashboard): string {
  const members = Object.entries(grafana(dashboard)).map(([name, value]: [string, unknown]) =>
    `${JSON.stringify(name)}: ${name === 'panels' && Array.isArray(value) ? `[\n  ${value.map((panel) => JSON.stringify(panel)).join(',\n  ')}\n]` : JSON.stringify(value)}`)
  return `{\n${members.join(',\n')}\n}\n`
}
