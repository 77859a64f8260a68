import assert from 'node:assert/strict'
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isCommand } from '../cli/commands.ts'
import { readOptions } from '../cli/options.ts'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'

/** What a page leaves out: the objects that its manifests name. */
const elsewhere = /does not exist|no ReferenceGrant/

const root = join(import.meta.dirname, '..')
const pages = [...globSync('*.md', { cwd: root }), ...globSync('{docs,examples}/**/*.md', { cwd: root })]

for (const page of pages) {
  const text = readFileSync(join(root, page), 'utf8')
  const ours = [...text.matchAll(/^```yaml\n(.*?)^```/gms)].flatMap(([, block = '']) => (/^apiVersion: modelroute\.io\//m.test(block) ? [block] : []))
  if (ours.length > 0) {
    test(`the manifests of ${page} are ones that are served, but for what they name`, async (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'docs-'))
      t.after(() => rmSync(folder, { recursive: true }))
      for (const [at, block] of ours.entries()) {
        const file = join(folder, `${at}.yaml`)
        writeFileSync(file, block)
        const { snapshot, problems } = await readManifests([file])
        const { routes, policies } = createCompiler({ allowUrls: ['*.example.com'], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot)
        const all = [...problems, ...[...routes.values(), ...policies.values()].flatMap((outcome) => outcome.problems)]
        const wrong = all.filter(({ severity, message }) => severity === 'error' && !elsewhere.test(message))
        assert.deepEqual(wrong.map(({ field, message }) => `${field}: ${message}`), [], block)
      }
    })
  }
  const commands = [...text.matchAll(/^```(?:bash|console|sh)\n(.*?)^```/gms)]
    .flatMap(([, block = '']) => block.replaceAll('\\\n', ' ').split('\n'))
    .flatMap((line) => /^(?:\$ )?(?:npx |kubectl )?modelroute (\w+)((?: [^|;&#>]*)?)/.exec(line)?.slice(1, 3).map((part) => part.trim()) ?? [])
  if (commands.length > 0) {
    test(`the commands of ${page} are ones that there are`, () => {
      for (let at = 0; at < commands.length; at += 2) {
        const [name = '', rest = ''] = commands.slice(at, at + 2)
        assert.ok(isCommand(name), name)
        const words = [...rest.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, bare]) => single ?? double ?? bare ?? '')
        const options = readOptions(name, words, {})
        assert.ok(!('usage' in options) || words.includes('--help'), `${name} ${rest}: ${'usage' in options ? options.usage.join() : ''}`)
      }
    })
  }
}
