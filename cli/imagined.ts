import { randomBytes } from 'node:crypto'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'
import type { FilterDeps } from '../dataplane/filters/filter.ts'
import { authenticatorsOf } from '../dataplane/filters/auth/create.ts'
import { noPlugins } from '../dataplane/plugins/plugins.ts'
import { createRuntime, type Runtime, type Table } from '../dataplane/runtime.ts'
import { Vault } from '../dataplane/vault.ts'
import { createOutgoing } from '../outgoing/call.ts'
import { perResource, type Share } from '../table/resources.ts'
import type { Route } from '../table/route.ts'
import { lineOf, rowsOf } from './problems.ts'

/** The table that a proxy would have of manifests, for requests that are only imagined: nothing of it is asked, and nothing runs. */
export type ImaginedTable = Readonly<{
  table: Table
  runtime: Runtime
  /** What is wrong with the manifests, a line each: what these name is not in the table, or not as it is written. */
  problems: readonly string[]
}>

export type ImaginedOptions = Readonly<{ gateway: string; allowUrl: readonly string[]; filterDeps?: Partial<FilterDeps>; prepare?: (route: Route) => Route }>

/** To be closed by its `runtime`. Throws where manifests cannot be read, or nothing of them can be served. */
export async function imagineTable(paths: readonly string[], { gateway, allowUrl, filterDeps, prepare }: ImaginedOptions): Promise<ImaginedTable> {
  const manifests = await readManifests(paths)
  const unread = manifests.problems.find(({ reason, severity }) => reason === 'Unreadable' && severity === 'error')
  if (unread !== undefined) throw new Error(`${unread.file}: ${unread.message}`)
  const compile = createCompiler({ allowUrls: allowUrl, allowLoopback: true, allowUnmanagedEndpointSlices: true, pepper: randomBytes(32) })
  const compiled = compile(manifests.snapshot)
  const share = compiled.fleets.get(gateway) ?? perResource<Share>(() => new Map())
  const vault = new Vault()
  const authenticators = authenticatorsOf(vault, { outgoing: createOutgoing(), log: () => {} })
  const runtime = createRuntime({
    vault,
    // Plugins are not run, and so need not be here; a log that is not written does not fail.
    filterDeps: { authenticators, plugins: { ...noPlugins(), fault: () => undefined }, audit: { commit: () => Promise.resolve(undefined), failing: () => false }, ...filterDeps },
  })
  const routes = prepare === undefined ? share.routes : new Map([...share.routes].map(([id, route]) => [id, prepare(route)]))
  const [refused] = runtime.activate({ version: 'files', ...share, routes })
  const table = runtime.table()
  // Manifests alone need not have the Services that a cluster has, and what is asked of them says so itself.
  const problems = rowsOf(manifests, compiled).filter(({ reason, severity }) => severity === 'error' && reason !== 'BackendNotFound').map(lineOf)
  const fleets = [...compiled.fleets.keys()]
  if (fleets.length > 0 && !fleets.includes(gateway)) problems.push(`no route is for the gateway ${gateway}, only for ${fleets.join(', ')}`)
  if (refused === undefined && table !== undefined) return { table, runtime, problems }
  await runtime.close()
  throw new Error(refused === undefined ? 'there is no table' : `${refused.id}: ${refused.message}`)
}
