import { active, match, route, rule } from '../../test/dataplane/table.ts'
import { serveTable } from '../table-proxy.ts'

/** `BACKEND`: a proxy with a rule that joins predictions, and one that does not. */
const [backend = ''] = process.argv.slice(2)
const joins = (value: string) => ({ headers: [{ type: 'Exact', name: 'x-rule', value }] }) as const
const rules = [
  rule({ name: 'single', matches: [match('/', joins('single'))] }),
  rule({ name: 'joined', matches: [match('/', joins('joined'))], batching: { maxSize: 32, maxDelay: 5, scope: 'Principal' } }),
]
await serveTable(active('1', [route({ rules })], { 'ml/s:80': [Number(backend)] }))
process.stdin.resume().on('end', () => process.exit())
