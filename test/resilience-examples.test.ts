import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'
import { testProxy } from './dataplane/proxy.ts'
import { httpUpstream } from './dataplane/sockets.ts'
import { bodyOf } from './dataplane/tries/rig.ts'
import { serviceAt } from './manifests.ts'

/** The example in front of two model servers, one of which may be away. */
async function chat(t: TestContext, large: RequestListener | undefined, small: RequestListener | undefined): Promise<Response> {
  const dir = await mkdtemp(join(tmpdir(), 'modelroute-resilience-'))
  t.after(() => rm(dir, { recursive: true }))
  const services = await Promise.all([['llama-70b', large] as const, ['llama-8b', small] as const].map(async ([name, listener]) =>
    serviceAt(name, listener ? await httpUpstream(t, listener) : 1, 'ml')))
  await writeFile(join(dir, 'services.yaml'), `${services.join('\n---\n')}\n`)
  const { snapshot, problems } = await readManifests([join(import.meta.dirname, '../examples/resilience/fallback.yaml'), join(dir, 'services.yaml')])
  assert.deepEqual(problems, [])
  const { fleets, routes } = createCompiler({ allowUrls: [], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot)
  assert.deepEqual([...routes.values()].flatMap((route) => route.problems), [])
  const fleet = fleets.get('default')
  assert.ok(fleet)
  const proxy = await testProxy(t, { version: '1', ...fleet })
  return fetch(`${proxy.url}/v1/chat/completions`, { method: 'POST', body: '{"model":"llama-70b","messages":[]}' })
}

const echo: RequestListener = (request, response) => { void bodyOf(request).then((body) => response.end(body)) }

test('fallback.yaml: the large model, else the small one by its own name, else a sentence', { timeout: 120_000 }, async (t) => {
  const busy: RequestListener = (_request, response) => response.writeHead(429).end()
  const answers = [
    [await chat(t, echo, echo), 'large', null, /llama-70b/],
    [await chat(t, busy, echo), 'small', 'small', /llama-8b/],
    [await chat(t, undefined, echo), 'small', 'small', /llama-8b/],
    [await chat(t, undefined, busy), 'large', 'static', /try again later/],
  ] as const
  for (const [answer, by, fallback, text] of answers) {
    assert.deepEqual([answer.status, answer.headers.get('x-modelroute-variant'), answer.headers.get('x-modelroute-fallback')], [200, by, fallback])
    assert.match(await answer.text(), text)
  }
})
