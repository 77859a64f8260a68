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

/** The manifest in front of one model server: what that was sent, and what the client got. */
async function served(t: TestContext, manifest: string, answer: string, service: string) {
  const sent: string[] = []
  const port = await httpUpstream(t, (request, response) => {
    void bodyOf(request).then((body) => {
      sent.push(body.toString())
      response.writeHead(200, { 'content-type': 'application/json' }).end(answer)
    }, () => {})
  })
  const dir = await mkdtemp(join(tmpdir(), 'modelroute-docs-'))
  t.after(() => rm(dir, { recursive: true }))
  await writeFile(join(dir, 'route.yaml'), manifest)
  await writeFile(join(dir, 'service.yaml'), serviceAt(service, port, 'ml'))
  const { snapshot, problems } = await readManifests([join(dir, 'route.yaml'), join(dir, 'service.yaml')])
  assert.deepEqual(problems, [])
  const { fleets, routes } = createCompiler({ allowUrls: [], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot)
  assert.deepEqual([...routes.values()].flatMap((route) => route.problems), [])
  const fleet = fleets.get('default')
  assert.ok(fleet)
  return { sent, proxy: await testProxy(t, { version: '1', ...fleet }) }
}

test('transformation.md: what is sent, got, answered and seen is what the page says', { timeout: 20_000 }, async (t) => {
  const page = await readFile(join(root, 'docs/transformation.md'), 'utf8')
  const block = (language: string) => new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'm').exec(page)?.[1] ?? ''
  const example = await readFile(join(root, 'examples/transformation/redaction.yaml'), 'utf8')
  assert.equal(example.replace(/^#.*\n/, ''), block('yaml'))
  const { sent, proxy } = await served(t, example, block('json answer').trim(), 'fraud')
  const got = await fetch(`${proxy.url}/v1/models/fraud:predict`, { method: 'POST', body: block('json request').trim() })
  assert.deepEqual(sent, [block('json model').trim()])
  assert.equal(await got.text(), block('json client').trim())
  assert.equal(got.headers.get('x-modelroute-confidence'), 'low')
})
