import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { bundle } from './bundle.ts'

type Files = Readonly<Record<string, string>>

async function bundled(t: TestContext, files: Files, starts: readonly string[]): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), 'bundle-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  for (const [path, text] of Object.entries({ 'package.json': '{"type": "module", "version": "7"}', ...files })) {
    mkdirSync(join(root, dirname(path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  await bundle(root, { starts, stays: (path) => path.startsWith('/kept/') })
  return root
}

const load = (root: string, path: string): Promise<Record<string, unknown>> => import(pathToFileURL(join(root, path)).href)

test('there is one of each module, whoever loads it and when, and what is loaded later is a file of its own', async (t) => {
  const root = await bundled(t, {
    'state.js': 'export const seen = []',
    'a.js': "import { seen } from './state.js'\nseen.push('a')\nexport const later = () => import('./deep/later.js')\nexport { seen } from './state.js'",
    'deep/b.js': "import { seen as all } from '../state.js'\nall.push('b')\nexport { all as seen }",
    'deep/later.js': "import { seen } from '../state.js'\nseen.push('later')\nexport { seen }",
  }, ['/a.js', '/deep/b.js'])
  const [a, b] = [await load(root, 'a.js') as { seen: string[]; later: () => Promise<Record<string, unknown>> }, await load(root, 'deep/b.js')]
  assert.deepEqual(a.seen, ['a', 'b'])
  assert.equal(a.seen, b['seen'])
  assert.equal((await a.later())['seen'], a.seen)
  assert.deepEqual(a.seen, ['a', 'b', 'later'])
})

test('modules find what is beside them, and texts are what they were', async (t) => {
  const root = await bundled(t, {
    'deep/main.js': "export const at = [import.meta.url, import.meta.filename, import.meta.dirname]\nexport const text = ['→ ü', `${1}…`, /^[–-—]$/.test('—')]",
  }, ['/deep/main.js'])
  const { at, text } = await load(root, 'deep/main.js')
  const path = join(root, 'deep/main.js')
  assert.deepEqual(at, [pathToFileURL(path).href, path, join(root, 'deep')])
  assert.deepEqual(text, ['→ ü', '1…', true])
})

test('what nobody needs is left out, and what is to stay is as it was', async (t) => {
  const root = await bundled(t, { 'deep/main.js': "export { x } from '../kept/x.js'", 'unused.js': 'export {}', 'kept/x.js': 'export const x = import.meta.url' }, ['/deep/main.js'])
  assert.deepEqual(readdirSync(root).sort(), ['bundle', 'deep', 'kept', 'package.json'])
  assert.equal((await load(root, 'deep/main.js'))['x'], pathToFileURL(join(root, 'kept/x.js')).href)
})
