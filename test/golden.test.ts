import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import * as v from 'valibot'
import { parse, stringify } from 'yaml'
import { type CompileOptions, createCompiler } from '../controller/compile/compile.ts'
import type { Compiled, RouteOutcome } from '../controller/compile/compiled.ts'
import { type Manifests, readManifests } from '../controller/sources/files.ts'
import type { Revision, Snapshot } from '../controller/sources/snapshot.ts'
import { noPlugins } from '../dataplane/plugins/plugins.ts'
import { createRuntime } from '../dataplane/runtime.ts'
import { RESOURCES, schemas, type Resource } from '../table/resources.ts'

/**
 * Golden pairs. `<case>.in.yaml` holds manifests and compiles into `<case>.table.yaml` (what proxies get) and
 * `<case>.status.yaml` (what users are told). The first line may be `# options: {…}` (a CompileOptions). Where there
 * is a `<case>.before.yaml`, it was compiled before, so that the case shows what stays in force.
 *
 * `UPDATE=1 node --test test/golden.test.ts` rewrites the outputs; read the difference before you commit it.
 */
const folder = join(import.meta.dirname, 'golden')
const cases = readdirSync(folder)
  .filter((file) => file.endsWith('.in.yaml'))
  .map((file) => basename(file, '.in.yaml'))

test('there are at least sixty golden cases, and no output without its input', () => {
  assert.ok(cases.length >= 60, `${cases.length} cases`)
  for (const file of readdirSync(folder)) {
    const name = file.replace(/\.(in|before|table|status)\.yaml$/, '')
    assert.ok(cases.includes(name), `${file} has no ${name}.in.yaml`)
  }
})

for (const name of cases) {
  test(name.replaceAll('-', ' '), async () => {
    const input = join(folder, `${name}.in.yaml`)
    const options = optionsOf(readFileSync(input, 'utf8'))
    const manifests = await readManifests([input])
    const compiled = await compileCase(name, manifests.snapshot, options)

    for (const fleet of compiled.fleets.values()) {
      // Which plugins there are, and what settings they take, is for a folder to say.
      const runtime = createRuntime({ filterDeps: { plugins: { ...noPlugins(), fault: () => undefined } } })
      assert.deepEqual(runtime.activate({ version: name, ...fleet }), [], 'a proxy refuses what was compiled')
      await runtime.close()
      for (const resource of RESOURCES) {
        for (const item of fleet[resource].values()) assert.deepEqual(v.parse<typeof schemas[Resource]>(schemas[resource], item), item)
      }
    }
    hold(`${name}.table.yaml`, tableOf(compiled))
    hold(`${name}.status.yaml`, statusOf(compiled, manifests))
  })
}

/** A controller that was running, and one that was restarted and has only the recorded revisions, agree. */
async function compileCase(name: string, snapshot: Snapshot, options: CompileOptions): Promise<Compiled> {
  const before = join(folder, `${name}.before.yaml`)
  if (!existsSync(before)) return createCompiler(options)(snapshot)
  const earlier = await readManifests([before])
  const running = createCompiler(options)
  const first = running(earlier.snapshot)
  const revisions = new Map<string, Revision>()
  for (const [id, { inForce }] of first.routes) if (inForce) revisions.set(id, { revision: 1, spec: inForce })
  const compiled = running(snapshot)
  assert.deepEqual(createCompiler(options)({ ...snapshot, revisions }), compiled, 'after a restart')
  return compiled
}

function optionsOf(text: string): CompileOptions {
  const line = /^# options: (.*)$/m.exec(text)?.[1]
  const given = line === undefined ? {} : (parse(line) as Partial<CompileOptions>)
  return { allowUrls: [], allowLoopback: false, allowUnmanagedEndpointSlices: true, pepper: Buffer.from('pepper'), ...given }
}

function tableOf({ fleets }: Compiled) {
  return Object.fromEntries(
    [...fleets].map(([name, fleet]) => [
      name,
      {
        routes: [...fleet.routes.values()],
        endpoints: [...fleet.endpoints.values()],
        ...(fleet.credentials.size > 0 && { credentials: [...fleet.credentials.values()] }),
        ...(fleet.secrets.size > 0 && { secrets: [...fleet.secrets.values()] }),
      },
    ]),
  )
}

function statusOf({ routes, policies }: Compiled, { snapshot, problems }: Manifests) {
  const sources = problems.map((problem) => ({ ...problem, file: undefined }))
  return {
    routes: Object.fromEntries(
      [...routes].map(([id, { deliveries, ...outcome }]) => {
        const rollouts = deliveries?.filter(({ plan }) => plan) ?? []
        return [id, { ...outcome, ...(rollouts.length > 0 && { rollouts }), inForce: inForce({ ...outcome }, snapshot, id) }]
      }),
    ),
    ...(policies.size > 0 ? { policies: Object.fromEntries(policies) } : {}),
    ...(sources.length > 0 ? { sources } : {}),
  }
}

function inForce(outcome: RouteOutcome, snapshot: Snapshot, id: string) {
  if (!outcome.inForce) return 'nothing'
  return outcome.inForce === snapshot.modelRoutes.get(id)?.object?.spec ? 'the manifest' : outcome.inForce
}

function hold(file: string, content: unknown): void {
  const path = join(folder, file)
  const text = stringify(content, { lineWidth: 120, aliasDuplicateObjects: false })
  if (process.env['UPDATE'] === '1') writeFileSync(path, text)
  else assert.equal(existsSync(path) ? readFileSync(path, 'utf8') : '', text, `${file} differs; UPDATE=1 rewrites it`)
}
