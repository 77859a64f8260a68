import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'
import type { ProxyOptions } from '../dataplane/proxy_options.ts'
import { testProxy } from './dataplane/proxy.ts'
import { httpUpstream } from './dataplane/sockets.ts'
import { bodyOf } from './dataplane/tries/rig.ts'
import { serviceAt } from './manifests.ts'

/** The manifest of a page in front of one model server: what that was sent, and a proxy to ask. */
export async function servedExample(t: TestContext, manifest: string, answer: () => string, service: string, options: Partial<ProxyOptions> = {}) {
  const sent: string[] = []
  const port = await httpUpstream(t, (request, response) => {
    void bodyOf(request).then((body) => {
      sent.push(body.toString())
      response.writeHead(200, { 'content-type': 'application/json' }).end(answer())
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
  return { sent, proxy: await testProxy(t, { version: '1', ...fleet }, options) }
}

/** The first block of a page that begins so. */
export function blockOf(page: string, language: string): string {
  return new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'm').exec(page)?.[1] ?? ''
}
