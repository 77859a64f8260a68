import { createCompiler } from '../controller/compile/compile.ts'
import { type Manifests, readManifests } from '../controller/sources/files.ts'
import { openPlugins } from '../dataplane/plugins/plugins.ts'
import { count } from './count.ts'
import type { Options } from './flags.ts'
import { oneLine } from './plain.ts'
import { lineOf, type Row, rowsOf } from './problems.ts'

const FIELDS = ['file', 'line', 'kind', 'namespace', 'name', 'field', 'reason', 'message', 'severity']

type Output = Readonly<{ stdout: (text: string) => void; stderr: (text: string) => void }>

function summary({ snapshot }: Manifests, rows: readonly Row[]): string {
  const errors = rows.filter(({ severity }) => severity === 'error').length
  const { endpointSlices, openNamespaces: _, revisions: __, ...others } = snapshot
  const maps = Object.values(others)
  const read = maps.reduce((n, { size }) => n + size, [...endpointSlices.values()].flat().length)
  return `${count(read, 'object')}: ${count(errors, 'error')}, ${count(rows.length - errors, 'warning')}\n`
}

/** Compiles as `serve` would, without serving. 1 where anything is an error. */
export async function check(options: Options<'check'>, { stdout, stderr }: Output): Promise<number> {
  const manifests = await readManifests(options.filename)
  const compile = createCompiler({
    allowUrls: options.allowUrl,
    allowLoopback: true,
    allowUnmanagedEndpointSlices: true,
  })
  const plugins = options.plugins === undefined ? undefined : await openPlugins({ folder: options.plugins, log: (_, message, fields) => stderr(`${message}: ${oneLine(JSON.stringify(fields))}\n`) })
  const rows = rowsOf(manifests, compile(manifests.snapshot), plugins)
  await plugins?.close()
  if (options.output === 'json') stdout(`${JSON.stringify(rows, FIELDS, 2)}\n`)
  else if (rows.length > 0) stdout(`${rows.map(lineOf).join('\n')}\n`)
  stderr(summary(manifests, rows))
  return rows.some(({ severity }) => severity === 'error') ? 1 : 0
}
