import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'
import { explain } from '../dataplane/explain/explain.ts'
import { createRuntime } from '../dataplane/runtime.ts'

const folder = join(import.meta.dirname, '../examples/auth')

/** What an example lets a consumer do: the code that refuses them, or that it has no endpoint, which comes last. */
async function example(t: TestContext, name: string) {
  const { snapshot, problems } = await readManifests([join(folder, name)])
  const compile = createCompiler({
    allowUrls: ['id.example.com'], allowLoopback: true, allowUnmanagedEndpointSlices: true, pepper: Buffer.from('pepper'),
  })
  const compiled = compile(snapshot)
  assert.deepEqual([problems, [...compiled.routes.values()].flatMap((route) => route.problems.filter(({ severity }) => severity === 'error'))], [[], []])
  const runtime = createRuntime()
  t.after(() => runtime.close())
  assert.deepEqual(runtime.activate({ version: name, ...compiled.fleets.get('default')! }), [])
  return async (as: string | undefined, url: string, method = 'POST') => {
    const { code, rule } = await explain(runtime.table()!, { method, url, headers: {}, body: '{}', ...(as !== undefined && { as }) })
    return code === 'no_endpoints' ? rule : code
  }
}

test('permissions.yaml: tiers, one model for the free tier, an expression for the auditor', async (t) => {
  const ask = await example(t, 'permissions.yaml')
  assert.deepEqual(
    await Promise.all([ask('ann', '/v2/models/dear/infer'), ask('bob', '/v2/models/fraud/infer'), ask('bob', '/v2/models/dear/infer'),
      ask('auditor', '/v2/models/dear/infer'), ask('auditor', '/v2/models/dear', 'GET')]),
    ['research', 'infer', 'forbidden', 'infer', 'forbidden'],
  )
})

test('tokens.yaml and pages.yaml: they hold, and say what they are said to', async (t) => {
  assert.ok(await example(t, 'tokens.yaml'))
  assert.ok(await example(t, 'pages.yaml'))
})

test('the route of docs/auth.md is the one of permissions.yaml', () => {
  const docs = readFileSync(join(folder, '../../docs/auth.md'), 'utf8')
  const [, shown = ''] = /```yaml\n([^]*?)```/.exec(docs) ?? []
  const [first = ''] = readFileSync(join(folder, 'permissions.yaml'), 'utf8').split('---\n')
  assert.equal(shown.trim(), first.split('\n').filter((line) => !line.startsWith('#')).join('\n').trim())
})
