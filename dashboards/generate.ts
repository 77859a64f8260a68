import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { dashboards, textOf } from './all.ts'

/** `npm run generate`: writes the dashboards as Grafana imports them into the chart. */

const folder = join(import.meta.dirname, '../charts/modelroute/dashboards')
for (const dashboard of dashboards) writeFileSync(join(folder, `${dashboard.file}.json`), textOf(dashboard))
