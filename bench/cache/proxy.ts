import { active, match, route, rule } from '../../test/dataplane/table.ts'
import { serveTable } from '../table-proxy.ts'

/** `BACKEND`: a proxy with a rule that keeps answers, and one that does not. */
const [backend = ''] = process.argv.slice(2)
const cache = { ttl: 3_600_000, scope: 'Principal', maxBytes: 67_108_864, maxEntryBytes: 1_048_576, headers: [], pointers: [], tags: [], billed: 100 } as const
const rules = [rule({ name: 'plain', matches: [match('/plain')] }), rule({ name: 'kept', matches: [match('/kept')], cache })]
await serveTable(active('1', [route({ rules })], { 'ml/s:80': [Number(backend)] }))
process.stdin.resume().on('end', () => process.exit())
