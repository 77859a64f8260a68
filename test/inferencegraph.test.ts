import assert from 'node:assert/strict'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { importGraphs } from '../cli/import.ts'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'
import { testProxy } from './dataplane/proxy.ts'
import { httpUpstream } from './dataplane/sockets.ts'
import { bodyOf } from './dataplane/tries/rig.ts'
import { serviceAt } from './manifests.ts'

/**
 * Golden cases, in the forms of the graphs that KServe publishes as examples: `<case>.graph.yaml` becomes `<case>.route.yaml`,
 * and `<case>.told.txt` is what is told. `UPDATE=1 node --test test/inferencegraph.test.ts` writes them anew.
 */
const folder = join(import.meta.dirname, 'inferencegraph')

async function imported(file: string, more: { hostname?: readonly string[]; path?: string } = {}) {
  let [stdout, stderr] = ['', '']
  const code = await importGraphs({ operands: [file], hostname: [], ...more }, { stdout: (text) => { stdout += text }, stderr: (text) => { stderr += text } })
  return { code, stdout, stderr: stderr.replaceAll(`${folder}/`, '') }
}

function hold(file: string, text: string): void {
  const path = join(folder, file)
  if (process.env['UPDATE'] !== undefined) writeFileSync(path, text)
  assert.equal(existsSync(path) ? readFileSync(path, 'utf8') : '', text)
}

/** What routes say, compiled; but for the services, which are not here. */
async function faultsOf(manifest: string): Promise<readonly string[]> {
  const dir = mkdtempSync(join(tmpdir(), 'graphs-'))
  try {
    writeFileSync(join(dir, 'route.yaml'), manifest)
    const { snapshot, problems } = await readManifests([join(dir, 'route.yaml')])
    const { routes } = createCompiler({ allowUrls: ['*.example.com'], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot)
    const all = [...problems, ...[...routes.values()].flatMap((outcome) => outcome.problems)]
    return all.filter(({ severity, message }) => severity === 'error' && !/does not exist|no ReferenceGrant/.test(message)).map(({ field, message }) => `${field}: ${message}`)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

for (const file of globSync('*.graph.yaml', { cwd: folder }).toSorted()) {
  const name = basename(file, '.graph.yaml')
  test(`a graph becomes a route that is served: ${name.replaceAll('-', ' ')}`, async () => {
    const { code, stdout, stderr } = await imported(join(folder, file))
    hold(`${name}.route.yaml`, stdout)
    hold(`${name}.told.txt`, stderr)
    assert.equal(code, / error: /.test(stderr) ? 1 : 0)
    assert.deepEqual(await faultsOf(stdout), [])
  })
}

test('a route is for the host and the path that are asked for', async () => {
  const file = join(folder, 'a-sequence-hands-answers-on.graph.yaml')
  assert.match((await imported(file, { hostname: ['chain.example.com'] })).stdout, /hostnames:\n {4}- chain.example.com\n[^]*value: \/\n/)
  assert.match((await imported(file, { path: '/chain' })).stdout, /value: \/chain\n/)
})

test('a file that is no YAML, or has no graph, is told', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'graphs-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'x.yaml')
  writeFileSync(file, 'kind: Service\n')
  await assert.rejects(imported(file), /there is no InferenceGraph/)
  writeFileSync(file, 'kind: InferenceGraph\nspec: [\n')
  const { code, stderr } = await imported(file)
  assert.equal(code, 1)
  assert.match(stderr, /x\.yaml:\d+ - - error: /)
  writeFileSync(file, 'apiVersion: v1\nkind: List\nitems:\n- kind: InferenceGraph\n  metadata: {name: a}\n  spec: {nodes: {}}\n')
  assert.match((await imported(file)).stderr, /x\.yaml:6 InferenceGraph\/default\/a spec\.nodes error: names the node "root", and there is none/)
})

type Asked = Readonly<{ model: string; body: unknown }>

/** The route of a graph, with its models played by one server: what each was asked, and what the client got. */
async function played(t: TestContext, graph: string, answers: Readonly<Record<string, unknown>>) {
  const asked: Asked[] = []
  const port = await httpUpstream(t, (request, response) => {
    void bodyOf(request).then((body) => {
      const model = /models\/([^:/]+)/.exec(request.url ?? '')?.[1] ?? ''
      asked.push({ model, body: JSON.parse(body.toString()) })
      response.writeHead(model in answers ? 200 : 503, { 'content-type': 'application/json' }).end(JSON.stringify(answers[model] ?? { error: 'away' }))
    }, () => {})
  })
  const { stdout } = await imported(join(folder, `${graph}.graph.yaml`))
  const names = [...stdout.matchAll(/kind: InferenceService\n\s+name: (\S+)/g)].map(([, name = '']) => name)
  const dir = mkdtempSync(join(tmpdir(), 'graphs-'))
  t.after(() => rmSync(dir, { recursive: true }))
  writeFileSync(join(dir, 'all.yaml'), [stdout.replaceAll(/( +)kind: InferenceService\n/g, '$1port: 8000\n'), ...names.map((name) => serviceAt(name, port, 'ml'))].join('\n---\n'))
  const { snapshot, problems } = await readManifests([join(dir, 'all.yaml')])
  const { fleets, routes } = createCompiler({ allowUrls: [], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot)
  assert.deepEqual([...problems, ...[...routes.values()].flatMap((route) => route.problems)], [])
  const fleet = fleets.get('default')
  assert.ok(fleet)
  const proxy = await testProxy(t, { version: '1', ...fleet })
  const [, path = ''] = /value: (\/graphs\S+)/.exec(stdout) ?? []
  const ask = async (body: unknown) => {
    const got = await fetch(new URL(path, proxy.url), { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })
    return [got.status, JSON.parse(await got.text())] as const
  }
  return { ask, asked, models: () => asked.splice(0).map(({ model }) => model).toSorted().join() }
}

test('an imported Sequence hands each answer on, and ends where a condition does not hold', { timeout: 120_000 }, async (t) => {
  const chain = await played(t, 'a-sequence-hands-answers-on', { 'mymodel-s1': { instances: [1] }, 'mymodel-s2': { instances: [2] }, 'mymodel-s3': { predictions: [3] } })
  assert.deepEqual(await chain.ask({ instances: [0] }), [200, { predictions: [3] }])
  assert.deepEqual(chain.asked.map(({ model, body }) => [model, body]), [['mymodel-s1', { instances: [0] }], ['mymodel-s2', { instances: [1] }], ['mymodel-s3', { instances: [2] }]])
  for (const [kind, answer, models] of [['dog', { breed: 'pug' }, 'cat-dog-classifier,dog-breed-classifier'], ['cat', { predictions: ['cat'] }, 'cat-dog-classifier']] as const) {
    const { ask, models: called } = await played(t, 'a-condition-ends-a-sequence', { 'cat-dog-classifier': { predictions: [kind] }, 'dog-breed-classifier': { breed: 'pug' } })
    assert.deepEqual([await ask({ instances: ['picture'] }), called()], [[200, answer], models])
  }
})

test('an imported Ensemble asks all, and a Switch one of them', { timeout: 120_000 }, async (t) => {
  const both = await played(t, 'an-ensemble-brings-all-answers', { 'sklearn-iris': { predictions: [1] }, 'xgboost-iris': { predictions: [2] } })
  assert.deepEqual(await both.ask({ instances: [0] }), [200, { sklearn: { predictions: [1] }, 1: { predictions: [2] } }])
  const one = await played(t, 'an-ensemble-brings-all-answers', { 'xgboost-iris': { predictions: [2] } })
  assert.deepEqual(await one.ask({ instances: [0] }), [200, { sklearn: null, 1: { predictions: [2] } }])
  const { ask, models } = await played(t, 'a-switch-takes-the-first-whose-condition-holds', { 'model-one': 'one', 'model-two': 'two', 'model-three': 'three' })
  for (const [body, answer, called] of [
    [{ instances: [{ modelId: '1' }] }, 'one', 'model-one'], [{ instances: [{ x: 1 }, { modelId: 2 }] }, 'two', 'model-two'], [{ instances: [] }, 'three', 'model-three'],
  ] as const) assert.deepEqual([await ask(body), models()], [[200, answer], called])
  const [status] = await ask({ inputs: [] })
  assert.deepEqual([status, models()], [404, ''])
})

test('an imported Splitter gives each its share, and nodes in nodes are gone through', { timeout: 120_000 }, async (t) => {
  const { ask, asked } = await played(t, 'a-splitter-goes-by-its-weights', { 'sklearn-iris': 'a', 'xgboost-iris': 'b' })
  for (let at = 0; at < 10; at++) await Promise.all(Array.from({ length: 10 }, () => ask({})))
  const few = asked.filter(({ model }) => model === 'sklearn-iris').length
  // Of 100 draws of one in five, 20: it is further away than this less than once in a million times.
  assert.ok(asked.length === 100 && few > 2 && few < 48, String(few))
  for (const [a, answer, called] of [[0.7, 'sure', 'model-a,model-b,sure'], [0.2, 'share', 'model-a,model-b,share']] as const) {
    const nested = await played(t, 'nodes-lead-to-nodes', { 'model-a': { predictions: [a] }, 'model-b': { predictions: [0] }, sure: 'sure', cheap: 'share', dear: 'share' })
    assert.deepEqual(await nested.ask({ instances: [1] }), [200, answer])
    assert.deepEqual(nested.asked.at(-1)?.body, { a: { predictions: [a] }, b: { predictions: [0] } })
    assert.equal(nested.models().replace(/(?:cheap|dear),(.*)/, '$1,share'), called)
  }
})

test('what nothing needs may fail, and what something needs ends the request', { timeout: 120_000 }, async (t) => {
  const unlogged = await played(t, 'soft-and-hard-dependencies', { fraud: { instances: [7] }, explainer: { why: 'amount' } })
  assert.deepEqual(await unlogged.ask({ instances: [1] }), [200, { why: 'amount' }])
  const broken = await played(t, 'soft-and-hard-dependencies', { 'request-log': {}, explainer: {} })
  const [status] = await broken.ask({ instances: [1] })
  assert.deepEqual([status, broken.models()], [502, 'fraud,request-log'])
})

test('from-inferencegraph.md: the graph becomes what the page says', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../docs/from-inferencegraph.md'), 'utf8')
  const block = (name: string) => new RegExp(`^\`\`\`${name}\\n([^]*?)^\`\`\``, 'm').exec(page)?.[1] ?? ''
  const dir = mkdtempSync(join(tmpdir(), 'graphs-'))
  t.after(() => rmSync(dir, { recursive: true }))
  writeFileSync(join(dir, 'graph.yaml'), block('yaml graph'))
  assert.equal((await imported(join(dir, 'graph.yaml'))).stdout, `---\n${block('yaml')}`)
})
