import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { bundle } from './bundle.ts'

type Files = Readonly<Record<string, string>>

function bundled(t: TestContext, files: Files, starts: readonly string[]): string {
  const root = mkdtempSync(join(tmpdir(), 'bundle-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  for (const [path, text] of Object.entries({ 'package.json': '{"type": "module", "version": "7"}', ...files })) {
    mkdirSync(join(root, dirname(path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  bundle(root, { starts, stays: (path) => path.startsWith('/kept/') })
  return root
}

const load = (root: string, path: string): Promise<Record<string, unknown>> => import(pathToFileURL(join(root, path)).href)

test('there is one of each module, whoever loads it and when', async (t) => {
  const root = bundled(t, {
    'state.js': 'export const seen = []',
    'a.js': "import { seen } from './state.js'\nseen.push('a')\nexport const later = () => import('./deep/later.js')\nexport { seen } from './state.js'",
    'b.js': "import { seen as all } from './state.js'\nall.push('b')\nexport { all as seen }",
    'deep/later.js': "import { seen } from '../state.js'\nseen.push('later')\nexport class Late {}\nexport { seen as default }",
  }, ['/a.js', '/b.js'])
  const [a, b] = [await load(root, 'a.js') as { seen: string[]; later: () => Promise<Record<string, unknown>> }, await load(root, 'b.js')]
  assert.equal(a.seen, b['seen'])
  const [once, again] = [await a.later(), await load(root, 'deep/later.js')]
  assert.equal(once['Late'], again['Late'])
  assert.equal(once['default'], a.seen)
  assert.deepEqual(a.seen, ['a', 'b', 'later'])
})

test('names of one module are not those of another, and are what they were to who sees them', async (t) => {
  const root = bundled(t, {
    'one.js': "import { join } from 'node:path'\nconst hidden = 1, join1 = join\nexport function value() { return [hidden, join1('a', 'b')] }\nexport const made = () => {}",
    'two.js': "import { join } from 'node:path/posix'\nconst hidden = 2\nexport function value() { return [hidden, join('c', 'd')] }",
    'main.js': "import { value, made } from './one.js'\nimport { value as other } from './two.js'\nimport * as all from 'node:path'\nimport whole from 'node:os'\n" +
      "import manifest from './package.json' with { type: 'json' }\nexport const told = [value(), other(), made.name, typeof all.join, typeof whole.cpus, manifest.version]",
  }, ['/main.js'])
  assert.deepEqual((await load(root, 'main.js'))['told'], [[1, join('a', 'b')], [2, 'c/d'], 'made', 'function', 'function', '7'])
})

test('modules find what is beside them, and text beyond ASCII is what it was, in files of ASCII', async (t) => {
  const root = bundled(t, {
    'deep/main.js': "export const at = [import.meta.url, import.meta.filename, import.meta.dirname]\nexport const text = ['→ ü', `${1}…`, /^[–-—]$/.test('—')]",
  }, ['/deep/main.js'])
  const { at, text } = await load(root, 'deep/main.js')
  const path = join(root, 'deep/main.js')
  assert.deepEqual(at, [pathToFileURL(path).href, path, join(root, 'deep')])
  assert.deepEqual(text, ['→ ü', '1…', true])
  for (const file of readdirSync(join(root, 'bundle'))) assert.match(readFileSync(join(root, 'bundle', file), 'utf8'), /^[\0-\x7f]*$/)
})

test('what nobody needs is left out, and what is to stay is as it was', async (t) => {
  const root = bundled(t, { 'main.js': "export const kept = () => import('./kept/x.js')", 'types.js': 'export {}', 'kept/x.js': 'export const x = import.meta.url' }, ['/main.js'])
  assert.deepEqual(readdirSync(root).sort(), ['bundle', 'kept', 'main.js', 'package.json'])
  const { kept } = await load(root, 'main.js') as { kept: () => Promise<{ x: string }> }
  assert.equal((await kept()).x, pathToFileURL(join(root, 'kept/x.js')).href)
})

test('what would mean something else is refused', (t) => {
  const refused = (files: Files, why: RegExp) => assert.throws(() => bundled(t, files, ['/main.js']), why)
  refused({ 'main.js': 'export let count = 0' }, /an export that may change/)
  refused({ 'main.js': "import * as other from './other.js'", 'other.js': '' }, /as one value/)
  refused({ 'main.js': "export * from './other.js'", 'other.js': '' }, /cannot be bundled/)
  refused({ 'main.js': "import { a } from './other.js'\nexport const b = a", 'other.js': "import { b } from './main.js'\nexport const a = b" }, /main\.js needs itself/)
  refused({ 'main.js': "import { a } from './other.js'", 'other.js': '' }, /other\.js exports no a/)
  refused({ 'main.js': 'export const a = String.raw`→`' }, /raw text/)
  refused({ 'main.js': 'export default 1' }, /no name/)
  refused({ 'main.js': 'const' }, /main\.js: /)
})
