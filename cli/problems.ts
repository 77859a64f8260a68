import type { Compiled, PolicyOutcome, RouteOutcome } from '../controller/compile/compiled.ts'
import type { Manifests } from '../controller/sources/files.ts'
import type { Problem, Resource } from '../controller/sources/snapshot.ts'
import type { ModelRoute } from '../crds/types.gen.ts'
import type { Plugins } from '../dataplane/plugins/plugins.ts'
import { oneLine } from './plain.ts'

/** A problem as `-o json` prints it. `line` counts from 1; null: the file as a whole. What is not known is empty. */
export type Row = Readonly<{
  file: string
  line: number | null
  kind: string
  namespace: string
  name: string
  field: string
  reason: string
  message: string
  severity: 'error' | 'warning'
}>

type Outcome = Pick<RouteOutcome & PolicyOutcome, 'problems' | 'accepted'> & Partial<Pick<RouteOutcome, 'resolvedRefs'>>

/** Every problem says why a verdict is False; should one be missing, the verdict itself is better than silence. */
type Found = Pick<Resource<unknown>, 'namespace' | 'name' | 'problems'>

function problemsOf(resource: Found, outcome: Outcome | undefined): Problem[] {
  const problems = [...resource.problems]
  const known = new Set(problems.map((problem) => JSON.stringify([problem.field, problem.message])))
  for (const problem of outcome?.problems ?? []) {
    const key = JSON.stringify([problem.field, problem.message])
    if (!known.has(key)) problems.push(problem)
    known.add(key)
  }
  if (problems.some(({ severity }) => severity === 'error')) return problems
  for (const verdict of [outcome?.accepted, outcome?.resolvedRefs]) {
    if (verdict?.status !== 'False') continue
    problems.push({ field: '', reason: verdict.reason, message: verdict.message, severity: 'error' })
  }
  return problems
}

type Placed = Row & { readonly column: number }

/** All that `check` would tell of manifests, in the order of the files and of the lines in them. */
export function rowsOf(manifests: Manifests, compiled: Compiled, plugins?: Plugins): Placed[] {
  const { modelRoutes, rateLimitPolicies } = manifests.snapshot
  const rows: Placed[] = manifests.problems.map(({ line, ...problem }) => ({
    ...problem,
    line: line === 0 ? null : line,
  }))
  const add = (kind: string, resource: Found, outcome: Outcome | undefined) => {
    const { namespace, name } = resource
    for (const { field, reason, message, severity } of problemsOf(resource, outcome)) {
      const place = manifests.locate(kind, namespace, name, field)
      const { file = '', line = null, column = 0 } = place ?? {}
      rows.push({ file, line, column, kind, namespace, name, field, reason, message, severity })
    }
  }
  for (const [key, route] of modelRoutes) {
    const own = plugins === undefined ? [] : pluginProblems(route, plugins)
    add('ModelRoute', { ...route, problems: [...route.problems, ...own] }, compiled.routes.get(key))
  }
  for (const [key, policy] of rateLimitPolicies) add('RateLimitPolicy', policy, compiled.policies.get(key))
  for (const [key, problems] of compiled.apiKeys) {
    const [namespace = '', name = ''] = key.split('/')
    add('Secret', { namespace, name, problems }, undefined)
  }
  const order = new Map(manifests.files.map((file, index) => [file, index]))
  const fileOf = (row: Row) => order.get(row.file) ?? order.size
  return rows.toSorted((a, b) => fileOf(a) - fileOf(b) || (a.line ?? 0) - (b.line ?? 0) || a.column - b.column)
}

const orDash = (text: string) => (text === '' ? '-' : oneLine(text))

/** For people: `route.yaml:21 ModelRoute/ml/fraud spec.rules[0].name Invalid: is required` */
export function lineOf(row: Row): string {
  const object = [row.kind, row.namespace, row.name].map(orDash).join('/')
  const warning = row.severity === 'warning' ? 'warning: ' : ''
  const place = `${orDash(row.file)}:${row.line ?? '-'}`
  return `${place} ${object} ${orDash(row.field)} ${orDash(row.reason)}: ${warning}${oneLine(row.message)}`
}

/** What rules ask of plugins that the folder does not have, or that their schemas do not allow. */
function pluginProblems({ object }: Resource<ModelRoute>, { fault }: Plugins): Problem[] {
  return (object?.spec.rules ?? []).flatMap(({ plugins = [] }, rule) => plugins.flatMap(({ name, config = {} }, at): Problem[] => {
    const message = fault(name, config)
    return message === undefined ? [] : [{ field: `spec.rules[${rule}].plugins[${at}]`, reason: 'Invalid', message, severity: 'error' }]
  }))
}
