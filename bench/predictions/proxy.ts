import { active, match, route, rule } from '../../test/dataplane/table.ts'
import type { Predictions } from '../../table/predictions.ts'
import { serveTable } from '../table-proxy.ts'

/** `BACKEND FILE`: a proxy with one rule for each way to log predictions, and the file of the log. */
const [backend = '', file = ''] = process.argv.slice(2)

const redacted: Predictions = { percent: 100, bodies: 'Redacted', redact: ['/inputs/*/data/0', '/pad'] }
const logs: Readonly<Record<string, Predictions | undefined>> = {
  open: undefined, tenth: { ...redacted, percent: 10 }, heads: { percent: 100, bodies: 'None', redact: [] }, redacted, full: { percent: 100, bodies: 'Full', redact: [] },
}
const rules = Object.entries(logs).map(([name, predictions]) =>
  rule({ name, ...(predictions && { predictions }), matches: [{ ...match('/'), headers: [{ type: 'Exact', name: 'x-rule', value: name }] }] }))
await serveTable(active('1', [route({ rules })], { 'ml/s:80': [Number(backend)] }), { predictions: file, admin: { host: '127.0.0.1', port: 0 }, announce: (name, url) => { if (name === 'admin') console.log(JSON.stringify({ admin: url })) } })
process.stdin.resume().on('end', () => process.exit())
