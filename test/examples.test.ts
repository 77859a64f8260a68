import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import { check } from '../cli/check.ts'
import { readOptions } from '../cli/options.ts'
import { usage } from '../cli/usage.ts'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'

/** What an example leaves out: the Services that are yours, and what a cluster holds beside it. */
const elsewhere = /does not exist|no ReferenceGrant/

const root = join(import.meta.dirname, '..')
const manifests = globSync('examples/**/*.yaml', { cwd: root }).filter((file) => /^apiVersion:/m.test(readFileSync(join(root, file), 'utf8'))).sort()

test('every example is one that is served, but for the Services that it names', async () => {
  assert.ok(manifests.length > 50)
  for (const file of manifests) {
    const { snapshot, problems } = await readManifests([join(root, file)])
    const { routes, policies } = createCompiler({ allowUrls: ['*.example.com'], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot)
    const all = [...problems, ...[...routes.values(), ...policies.values()].flatMap((outcome) => outcome.problems)]
    assert.deepEqual(all.filter(({ message }) => !elsewhere.test(message)).map(({ field, message }) => `${field}: ${message}`), [], file)
  }
})

test('the README of a folder of examples has all of them, and the README of all has that', () => {
  const index = readFileSync(join(root, 'examples/README.md'), 'utf8')
  const pages = globSync('examples/*/README.md', { cwd: root })
  assert.ok(pages.length > 20)
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8')
    for (const file of globSync('*.{yaml,jsonl}', { cwd: dirname(join(root, page)) })) assert.ok(text.includes(`](${file})`), `${page}: ${file}`)
    assert.ok(index.includes(`](${page.slice('examples/'.length)})`), page)
  }
})

test('the command of each README does what it says: of its manifest nothing is missing but what is yours', async () => {
  const pages = globSync('examples/*/README.md', { cwd: root }).filter((page) => !page.startsWith('examples/quickstart/'))
  for (const page of pages) {
    const [, name = '', rest = ''] = /^```bash\nnpx modelroute (\w+) (.*)\n```$/m.exec(readFileSync(join(root, page), 'utf8')) ?? []
    const words = rest.replaceAll('"', '').split(' ').map((word) => (word.startsWith('examples/') ? join(root, word) : word))
    const said = { stdout: '', stderr: '' }
    const output = { stdout: (text: string) => { said.stdout += text }, stderr: (text: string) => { said.stderr += text } }
    if (name === 'usage') {
      const options = readOptions('usage', words, {})
      assert.ok(!('usage' in options), page)
      await usage(options, output)
      assert.match(said.stdout, /\d/, page)
      continue
    }
    assert.equal(name, 'check', page)
    const options = readOptions('check', words, {})
    assert.ok(!('usage' in options), page)
    const code = await check(options, output)
    const lines = said.stdout.split('\n').filter((line) => line !== '')
    assert.deepEqual(lines.filter((line) => !elsewhere.test(line)), [], page)
    assert.equal(code, lines.length > 0 ? 1 : 0, page)
    assert.match(said.stderr, /^\d+ objects?: /m, page)
  }
})

type Schema = Readonly<{ properties?: Readonly<Record<string, Schema>>; items?: Schema }>

test('each field of a route and of a policy is in an example', () => {
  /** What is the same wherever another object is named, and keys that come from elsewhere than a server. A step names a backend as a variant does. */
  const same = /\.(namespace|group|key|component)$|^jwks\.secretRef$/
  const named = (schema: Schema, at: string): string[] => Object.entries(schema.properties ?? {}).flatMap(([name, field]) => [`${at}.${name}`, ...named(field.items ?? field, name.replace(/^backendRef$/, 'backendRefs'))])
  const used = new Set<string>()
  const look = (value: unknown, at: string): void => {
    if (Array.isArray(value)) return value.forEach((item) => look(item, at))
    if (typeof value !== 'object' || value === null) return
    for (const [name, inner] of Object.entries(value)) {
      used.add(`${at}.${name}`)
      look(inner, name)
    }
  }
  for (const file of manifests) for (const document of parseAllDocuments(readFileSync(join(root, file), 'utf8'))) look((document.toJS() as { spec?: unknown } | null)?.spec, 'spec')
  for (const name of ['modelroutes', 'ratelimitpolicies']) {
    const { spec } = parse(readFileSync(join(root, `crds/${name}.modelroute.io.yaml`), 'utf8')) as { spec: { versions: [{ schema: { openAPIV3Schema: { properties: { spec: Schema } } } }] } }
    const fields = new Set(named(spec.versions[0].schema.openAPIV3Schema.properties.spec, 'spec'))
    assert.deepEqual([...fields].filter((field) => !used.has(field) && !same.test(field)), [])
  }
})
