import { active, match, route, rule, variant } from '../../test/dataplane/table.ts'
import { serveTable } from '../table-proxy.ts'

/** `BACKEND [alone]`: a proxy with a rule that asks for nothing in a body, beside others that do, or that ask for as little. */
const [backend = '', alone] = process.argv.slice(2)
const plain = rule({ name: 'plain', matches: [match('/v1/completions')] })
const asking = [
  rule({ name: 'model', matches: [match('/v1/embeddings', { model: { name: 'bench' } })] }),
  rule({ name: 'value', matches: [match('/v1/moderations', { body: [{ pointer: '/parameters/region', type: 'Exact', value: 'eu' }] })] }),
  rule({ name: 'renamed', matches: [match('/v1/responses')], variants: [variant('stable', 'ml/s:80', { model: { name: 'another' } })] }),
]
await serveTable(active('1', [route({ rules: [plain, ...alone === undefined ? asking : asking.map(({ name, matches: [{ path } = match('/')] }) => rule({ name, matches: [{ path, headers: [], query: [] }] }))] })], { 'ml/s:80': [Number(backend)] }))
process.stdin.resume().on('end', () => process.exit())
