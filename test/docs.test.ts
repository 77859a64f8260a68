import assert from 'node:assert/strict'
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { isCommand } from '../cli/commands.ts'
import { readOptions } from '../cli/options.ts'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'

/** What a page leaves out: the objects that its manifests name. */
const elsewhere = /does not exist|no ReferenceGrant/

const root = join(import.meta.dirname, '..')
const pages = [...globSync('*.md', { cwd: root }), ...globSync('{docs,examples,dataplane}/**/*.md', { cwd: root })]

type Schema = Readonly<{ properties: Readonly<Record<string, Schema>>; items: Schema }>
type Fragment = Readonly<Record<string, unknown>>

const specOf = (name: string): Schema => (parse(readFileSync(join(root, `crds/${name}.modelroute.io.yaml`), 'utf8')) as { spec: { versions: [{ schema: { openAPIV3Schema: Schema } }] } })
  .spec.versions[0].schema.openAPIV3Schema.properties['spec']!
const fieldsOf = ({ properties }: Schema) => Object.keys(properties)
const ofRoute = fieldsOf(specOf('modelroutes'))
const ofRule = [...fieldsOf(specOf('modelroutes').properties['rules']!.items), ...ofRoute]
const ofPolicy = fieldsOf(specOf('ratelimitpolicies'))

const object = (kind: string, spec: object) => JSON.stringify({ apiVersion: 'modelroute.io/v1alpha1', kind, metadata: { name: 'fraud', namespace: 'ml' }, spec })
const variants = ['stable', 'canary', 'shadow'].map((variant, at) => ({ variant, name: `fraud-v${at}`, port: 8000 }))
const whole = (rule: Fragment) => ({ name: 'infer', ...(!('backendRefs' in rule) && !('compose' in rule) && { backendRefs: variants }), ...rule })

/** The manifest that a block is, or that a part of one stands for: undefined where it is something else. */
function manifestOf(block: string): string | undefined {
  if (/^apiVersion: modelroute\.io\//m.test(block)) return block
  const part = parse(block.split(/^---$/m)[0] ?? '') as Fragment | null
  if (typeof part !== 'object' || part === null || Array.isArray(part)) return undefined
  const spec = Object.keys(part).join() === 'spec' ? part['spec'] as Fragment : part
  const { rules = [{}] } = spec
  const within = (known: readonly string[]) => Array.isArray(rules) && Object.keys(spec).every((field) => known.includes(field))
  if (within(ofRoute)) return object('ModelRoute', { ...spec, rules: (rules as Fragment[]).map(whole) })
  if (within(ofRule)) return object('ModelRoute', { rules: [whole(spec)] })
  if ('limits' in spec && within(ofPolicy)) return object('RateLimitPolicy', { targetRefs: [{ group: 'modelroute.io', kind: 'ModelRoute', name: 'fraud' }], ...spec })
  return undefined
}

for (const page of pages) {
  const text = readFileSync(join(root, page), 'utf8')
  const ours = [...text.matchAll(/^```yaml\n(.*?)^```/gms)].flatMap(([, block = '']) => manifestOf(block) ?? [])
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
