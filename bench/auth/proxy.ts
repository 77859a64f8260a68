import { once } from 'node:events'
import { createServer } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { keySet, withKeys } from '../../test/dataplane/keys.ts'
import { active, match, route, rule } from '../../test/dataplane/table.ts'
import type { Auth } from '../../table/principal.ts'
import { serveTable } from '../table-proxy.ts'

/** `BACKEND JWKS`: a proxy with one rule for each way of finding out who calls, and the issuer whose keys it fetches. */
const [backend = '', jwks = ''] = process.argv.slice(2)
let fetches = 0
const issuer = createServer((_request, response) => {
  fetches++
  response.end(jwks)
}).listen(0, '127.0.0.1')
await once(issuer, 'listening')
const address = issuer.address()
const port = typeof address === 'object' ? address?.port : undefined

const terms: Readonly<Record<string, Auth['anyOf'][number]>> = {
  token: {
    kind: 'jwt', issuer: 'bench', audiences: ['bench'], algorithms: ['RS256'], leeway: 30_000,
    keys: { from: 'uri', url: `http://127.0.0.1:${port}/jwks`, loopback: true },
    claims: { consumer: 'sub', groups: 'groups', tier: 'tier', scopes: 'scope' },
  },
  key: { kind: 'apiKey', in: 'Header', name: 'x-api-key', set: 'ml' },
}
const rules = [
  rule({ name: 'open', matches: [match('/open')] }),
  // Whoever authenticates is recorded: this one is recorded without being asked who it is.
  rule({ name: 'audited', matches: [match('/audited')], audit: 'Buffered' }),
  ...Object.entries(terms).map(([name, one]) => rule({ name, matches: [match(`/${name}`)], auth: { anyOf: [one], anonymous: false } })),
]
const table = withKeys(active('1', [route({ rules })], { 'ml/s:80': [Number(backend)] }), keySet('ml', { 'bench-key': { groups: ['research'], tier: 'pro' } }))
await serveTable(table)

const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
/** Asked by a line, it says what came of the time since the last. */
createInterface({ input: process.stdin }).on('line', () => {
  // The sampler itself sleeps for a millisecond.
  console.log(JSON.stringify({ lagP99: delay.percentile(99) / 1e6 - 1, lagMax: delay.max / 1e6 - 1, fetches }))
  delay.reset()
}).on('close', () => process.exit())
