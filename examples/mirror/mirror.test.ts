import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { mirrors as mirrorsCommand } from '../../cli/mirrors.ts'
import { createCompiler } from '../../controller/compile/compile.ts'
import { readManifests } from '../../controller/sources/files.ts'
import { Mirrors } from '../../dataplane/mirror/mirrors.ts'
import { testProxy } from '../../test/dataplane/proxy.ts'
import { eventually, httpUpstream } from '../../test/dataplane/sockets.ts'
import { serviceAt } from '../../test/manifests.ts'

const route = readFileSync(join(import.meta.dirname, 'route.yaml'), 'utf8')

test('the route of docs/mirroring.md is the one of the example', () => {
  const docs = readFileSync(join(import.meta.dirname, '../../docs/mirroring.md'), 'utf8')
  assert.equal(/```yaml\n(.*?)```/s.exec(docs)?.[1], route.split('\n').filter((line) => !line.startsWith('#')).join('\n'))
})

/** A server of one version, whose scores are off by so much. */
const version = (t: TestContext, asked: string[], off: number) => httpUpstream(t, (request, response) => {
  asked.push(request.url ?? '')
  request.resume().once('end', () => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ model_name: 'fraud', model_version: String(off), id: String(asked.length), outputs: [{ name: 'score', datatype: 'FP32', shape: [2], data: [0.5 + off, 0.25] }] }))
  })
})

test('one of ten requests is copied, and the report of the command line says how the versions differ', { timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mirror-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const [one, two]: [string[], string[]] = [[], []]
  const report = async (off: number) => {
    const file = join(folder, 'all.yaml')
    writeFileSync(file, [route, serviceAt('fraud-v1', await version(t, one, 0), 'ml'), serviceAt('fraud-v2', await version(t, two, off), 'ml')].join('\n---\n'))
    const { snapshot, problems } = await readManifests([file])
    assert.deepEqual(problems, [])
    const fleet = createCompiler({ allowUrls: [], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot).fleets.get('default')
    assert.ok(fleet)
    const mirrors = new Mirrors()
    const proxy = await testProxy(t, { version: '1', ...fleet }, { filterDeps: { mirrors } })
    for (let n = 0; n < 20; n++) {
      const answer = await fetch(`${proxy.url}/v2/models/fraud/infer`, { method: 'POST', body: '{}' })
      assert.equal((await answer.json() as { model_version: string }).model_version, '0')
    }
    await eventually(() => [...mirrors.values()].every(({ inFlight }) => inFlight === 0))
    let told = ''
    await mirrorsCommand({ admin: proxy.urls.admin ?? '', output: 'text' }, (text) => { told = text })
    return told
  }
  const labels = '  labels      of 2 vectors 0 have another label, 0 another top five\n'
  assert.equal(await report(0.000_1), `ml/fraud infer → shadow\n  copies      answered 2\n  compared    match 2, 0 % differ\n${labels}`)
  assert.equal(await report(0.25), `ml/fraud infer → shadow\n  copies      answered 2\n  compared    mismatch 2, 100 % differ\n${labels}  where       2   value /outputs/score, up to 0.25\n`)
  assert.equal(one.length, 40)
  assert.deepEqual(two, Array<string>(4).fill('/v2/models/fraud/versions/2/infer'))
})
