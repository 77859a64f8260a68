import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { startModelServer } from '../examples/quickstart/server.ts'
import { temporaryFolder } from './cluster/process.ts'
import { until } from './cluster/wait.ts'
import { backend, startServe } from './servers/serve.ts'

const root = join(import.meta.dirname, '..')
const page = readFileSync(join(root, 'docs/plugins.md'), 'utf8')
/** The code of the tutorial, patient, so that a busy machine is not what is tested. */
const tutorial = (/```ts\n(.*?)```/s.exec(page)?.[1] ?? '').replace("name: 'needs-team',", "name: 'needs-team', timeout: 20_000,")

/** A folder as a ConfigMap is mounted: files behind a link to a folder that is swapped. */
function mounted(): Readonly<{ folder: string; swap(files: Readonly<Record<string, string>>): void }> {
  const folder = temporaryFolder('plugins')
  let version = 0
  return {
    folder,
    swap(files) {
      const data = join(folder, `..v${++version}`)
      mkdirSync(data)
      for (const [name, text] of Object.entries(files)) {
        writeFileSync(join(data, name), text)
        rmSync(join(folder, name), { force: true })
        symlinkSync(join('..data', name), join(folder, name))
      }
      symlinkSync(`..v${version}`, join(folder, '..tmp'))
      renameSync(join(folder, '..tmp'), join(folder, '..data'))
    },
  }
}

test('a route waits for its plugin, and follows it as a ConfigMap is swapped, in every process', { timeout: 200_000 }, async (t) => {
  const model = await startModelServer({ version: '1', port: 0, host: '127.0.0.1' })
  t.after(() => model.close())
  const plugins = mounted()
  const manifests = backend('fraud', [Number(new URL(model.url).port)], '/v2').replace('    backendRefs:', '    plugins: [{name: needs-team, config: {header: x-team}}]\n    backendRefs:')
  const serving = await startServe(manifests, '--plugins', plugins.folder, '--workers', '2')
  t.after(() => serving.stop())
  const ask = async (headers: Record<string, string> = {}) => {
    const answer = await fetch(`${serving.urls['http']}/v2/models/fraud`, { headers })
    return [answer.status, answer.headers.get('x-modelroute-error') ?? answer.headers.get('x-team-known'), await answer.text()] as const
  }
  const programmed = async () => {
    const { items } = await (await fetch(`${serving.urls['control']}/status`)).json() as { items: { kind: string; status?: { conditions?: { type: string; status: string; message: string }[] } }[] }
    return items.find(({ kind }) => kind === 'ModelRoute')?.status?.conditions?.find(({ type }) => type === 'Programmed')
  }
  await until('the refusal in the status', async () => /there is no plugin "needs-team"; there are: none/.test((await programmed())?.message ?? ''))
  assert.equal((await ask())[0], 404)

  plugins.swap({ 'needs-team.ts': tutorial })
  await until('the route to be in force', async () => (await programmed())?.status === 'True')
  // Every process, whichever takes the connection.
  await until('the plugin in all processes', async () => (await Promise.all(Array.from({ length: 8 }, () => ask()))).every(([status]) => status === 403))
  assert.deepEqual(await ask(), [403, 'forbidden', '{"error":"Say in x-team which team you are."}'])
  assert.deepEqual((await ask({ 'x-team': 'risk' })).slice(0, 2), [200, 'yes'])

  plugins.swap({ 'needs-team.ts': tutorial.replace('Say in', 'Tell in') })
  await until('the new version', async () => (await Promise.all(Array.from({ length: 8 }, () => ask()))).every(([, , body]) => body.includes('Tell in')))
})

test('check says which settings do not fit, with their place', { timeout: 120_000 }, async () => {
  const folder = temporaryFolder('check')
  mkdirSync(join(folder, 'plugins'))
  writeFileSync(join(folder, 'plugins/needs-team.ts'), tutorial)
  const [manifest = ''] = [...page.matchAll(/```yaml\n(apiVersion.*?)```/gs)].map(([, text]) => text ?? '')
  const check = async (text: string) => {
    writeFileSync(join(folder, 'route.yaml'), text)
    const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'cli/modelroute.js'), 'check', '-f', 'route.yaml', '--plugins', 'plugins'], { cwd: folder })
      .catch((error: unknown) => error as { stdout: string })
    return stdout.split('\n').filter((line) => line.includes('plugins'))
  }
  assert.deepEqual(await check(manifest), [])
  const [told] = await check(manifest.replace('header: x-team', 'heder: x-team'))
  assert.equal(told, /```text\n(.*?)\n```/s.exec(page)?.[1])
  assert.match(String((await check(manifest.replace('name: needs-team', 'name: nobody')))[0]), /there is no plugin "nobody"; there are: needs-team$/)
})

test('the examples are ones that check lets pass', { timeout: 120_000 }, async () => {
  const folder = temporaryFolder('examples')
  cpSync(join(root, 'examples/plugins'), folder, { recursive: true })
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'cli/modelroute.js'), 'check', '-f', join(folder, 'route.yaml'), '--plugins', folder])
    .catch((error: unknown) => error as { stdout: string })
  assert.deepEqual(stdout.split('\n').filter((line) => line.includes('plugin')), [])
})
