import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'
import { testProxy } from './dataplane/proxy.ts'
import { httpUpstream } from './dataplane/sockets.ts'
import { bodyOf } from './dataplane/tries/rig.ts'
import { serviceAt } from './manifests.ts'

const root = join(import.meta.dirname, '..')
const page = await readFile(join(root, 'docs/composition.md'), 'utf8')
const block = (language: string) => new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'm').exec(page)?.[1]?.trim() ?? ''

/** What a model says to a body sent to a path; undefined: it is down. */
type Model = (path: string, body: string) => string | undefined

/** An example of the page in front of its models. */
async function example(t: TestContext, name: string, models: Readonly<Record<string, Model>>) {
  const manifest = await readFile(join(root, `examples/compose/${name}.yaml`), 'utf8')
  const written = manifest.replaceAll(/^#.*\n/gm, '')
  assert.ok(page.includes(`\`\`\`yaml\n${written}\`\`\``), `${name}.yaml is not what the page shows`)
  const dir = await mkdtemp(join(tmpdir(), 'modelroute-composition-'))
  t.after(() => rm(dir, { recursive: true }))
  const services = await Promise.all(Object.entries(models).map(async ([service, model]) => serviceAt(service, await httpUpstream(t, (request, response) => {
    void bodyOf(request).then((body) => {
      const answer = model(request.url ?? '', body.toString())
      response.writeHead(answer === undefined ? 503 : 200, { 'content-type': 'application/json' }).end(answer)
    })
  }), 'ml')))
  await writeFile(join(dir, 'services.yaml'), `${services.join('\n---\n')}\n`)
  const { snapshot, problems } = await readManifests([join(root, `examples/compose/${name}.yaml`), join(dir, 'services.yaml')])
  assert.deepEqual(problems, [])
  const { fleets, routes } = createCompiler({ allowUrls: [], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot)
  assert.deepEqual([...routes.values()].flatMap((route) => route.problems), [])
  const fleet = fleets.get('default')
  assert.ok(fleet)
  const proxy = await testProxy(t, { version: '1', ...fleet })
  return async (path: string, body: string) => (await fetch(proxy.url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body })).text()
}

test('pipeline.yaml: what each model is sent, and what the client sees, is what the page says', { timeout: 120_000 }, async (t) => {
  const sent: string[] = []
  const ask = await example(t, 'pipeline', {
    features: (path, body) => {
      assert.deepEqual([path, body], ['/features', block('json pipeline request')])
      return block('json pipeline features')
    },
    fraud: (path, body) => {
      sent.push(path, body)
      return '{"model_name":"fraud","outputs":[{"name":"y","datatype":"FP32","shape":[1,1],"data":[0.93]}]}'
    },
    explainer: (path, body) => path === '/reasons' && body.includes('"x":[0.9,0.1]') ? '["amount"]' : undefined,
  })
  assert.equal(await ask('/payments/score', block('json pipeline request')), block('json pipeline client'))
  assert.deepEqual(sent, ['/v2/models/fraud/infer', block('json pipeline model')])
})

test('ensemble.yaml: the mean by weight, and that of the others where one is down', { timeout: 120_000 }, async (t) => {
  let canary: string | undefined = '{"predictions":[0.4]}'
  const ask = await example(t, 'ensemble', { 'fraud-v1': () => '{"predictions":[0.8]}', 'fraud-v2': () => canary })
  assert.equal(Math.round((JSON.parse(await ask('/v1/models/fraud:predict', '{"instances":[1]}')) as { predictions: number[] }).predictions[0]! * 1e9) / 1e9, 0.7)
  assert.match(block('json ensemble client'), /\[0\.7\]/)
  canary = undefined
  assert.equal(await ask('/v1/models/fraud:predict', '{"instances":[1]}'), '{"predictions":[0.8]}')
})

test('switch.yaml: by the length of the prompt, and the small one where the large one is down', { timeout: 120_000 }, async (t) => {
  let large: string | undefined = '"large"'
  const ask = await example(t, 'switch', { 'llama-70b': () => large, 'llama-9b': () => undefined, 'llama-8b': () => '"small"' })
  const prompt = (content: string) => ask('/v1/chat/completions', JSON.stringify({ model: 'llama', messages: [{ role: 'user', content }] }))
  assert.equal(await prompt('x'.repeat(41)), '"large"')
  assert.equal(await prompt('hello'), '"small"')
  large = undefined
  assert.equal(await prompt('x'.repeat(41)), '"small"')
})

test('batch.yaml: one call for each of the list, and null for one that failed', { timeout: 120_000 }, async (t) => {
  const labels = new Map([['a.png', 'cat'], ['b.png', 'dog']])
  const ask = await example(t, 'batch', {
    labeller: (_path, body) => {
      const label = labels.get((JSON.parse(body) as { url: string }).url)
      return label && JSON.stringify({ label, certainty: 1 })
    },
  })
  assert.equal(await ask('/labels', block('json batch request')), block('json batch client'))
})
