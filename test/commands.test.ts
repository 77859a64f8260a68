import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import manifest from '../package.json' with { type: 'json' }
import { blocksOf, typedIn } from './walk.ts'

/**
 * Every command of every page is typed by a test, or there is a reason why none can. Whoever adds one finds it counted here, and
 * the tests that walk its page.
 */

const root = join(import.meta.dirname, '..')
const commands = 'test/cluster/commands.e2e.ts'
const cluster = 'test/cluster/docs.e2e.ts'
const pages = 'test/pages.test.ts'
const tutorials = 'test/servers/tutorials.e2e.ts'

/** By page: how many blocks of `bash` and lines behind a prompt it has that a test types, and which tests do. */
const typed: Readonly<Record<string, readonly [count: number, ...tests: string[]]>> = {
  'README.md': [12, 'test/readme.test.ts', commands],
  'charts/modelroute/README.md': [1, commands],
  'docs/ab-testing.md': [1, 'examples/ab/compare.test.ts'],
  'docs/alerts.md': [38, cluster, commands],
  'docs/auth.md': [4, commands],
  'docs/caching.md': [1, pages],
  'docs/console.md': [3, commands],
  'docs/explain.md': [1, 'test/explain-docs.test.ts'],
  'docs/from-inferencegraph.md': [3, pages],
  'docs/install.md': [1, 'test/package/package.e2e.ts'],
  'docs/kubernetes.md': [16, 'test/cluster/install.e2e.ts', commands],
  'docs/limits.md': [2, commands],
  'docs/metrics.md': [1, pages],
  'docs/mirroring.md': [1, pages],
  'docs/operations/backup.md': [4, cluster],
  'docs/plugins.md': [2, pages, commands],
  'docs/predictions.md': [2, pages],
  'docs/replay.md': [2, 'test/explain-docs.test.ts', pages],
  'docs/rollouts.md': [8, commands, pages],
  'docs/sidecar.md': [2, 'test/cluster/sidecar.e2e.ts'],
  'docs/top.md': [2, pages],
  'docs/tracing.md': [1, 'test/servers/tracing.e2e.ts'],
  'docs/tutorials/auth.md': [8, tutorials],
  'docs/tutorials/canary.md': [10, tutorials],
  'docs/tutorials/kserve.md': [10, cluster, commands],
  'docs/tutorials/limits.md': [10, tutorials],
  'docs/tutorials/openai.md': [9, tutorials],
  'docs/tutorials/triton.md': [7, tutorials],
  'docs/upgrades.md': [3, 'test/cluster/upgrade.e2e.ts', commands],
  'docs/usage.md': [2, 'cli/usage.test.ts'],
}
/** Pages whose one command the same test types. */
const examples = globSync('examples/*/README.md', { cwd: root }).filter((page) => !page.startsWith('examples/quickstart/'))

/** What no test types, and why. */
const untyped: readonly (readonly [command: RegExp, why: string])[] = [
  [/^npm ci( && npm (start|test))?$/, 'what every run of these tests begins with'],
  [/^npm run (check|build|build:image|generate|soak|test:\w+|bench(:\w+)?)\b/, 'the tests themselves, what they look at, and measurements of minutes: their names are held below'],
  [/^docker (run|build|buildx) /, 'no container engine: test/cluster/image.e2e.ts runs what the image has as the chart does'],
  [/^helm install modelroute oci:/, 'the registry has it after a release: the same is installed from its folder'],
  [/^(cosign|gh|npm audit) /, 'what is published and signed by a release, and nothing before'],
  [/^npm install --global modelroute$/, 'the registry has it after a release: test/package installs what would be published'],
  [/^git clone /, 'this repository'],
  [/^vllm serve /, 'a GPU; the tutorial is walked with llama.cpp'],
]

const shellOf = (page: string) => {
  const text = readFileSync(join(root, page), 'utf8')
  return [...blocksOf(text).filter(({ language }) => language === 'bash').map((block) => block.text.trim()), ...typedIn(text)]
}
const all = [...globSync('*.md', { cwd: root }), ...globSync('{charts,docs,examples,dataplane,test,.github}/**/*.md', { cwd: root })].sort()
const excused = (command: string) => untyped.some(([pattern]) => command.replaceAll('\\\n', ' ').split('\n').every((line) => pattern.test(line) || line === 'npm ci'))

test('every command of every page is typed by a test, or cannot be', () => {
  const found = all.map((page) => [page, shellOf(page).filter((command) => !excused(command)).length] as const).filter(([, count]) => count > 0)
  const known = [...Object.entries(typed).map(([page, [count]]) => [page, count] as const), ...examples.map((page) => [page, 1] as const)]
  assert.deepEqual(Object.fromEntries(found), Object.fromEntries(known))
  for (const [pattern, why] of untyped) assert.ok(all.some((page) => shellOf(page).some((command) => command.split('\n').some((line) => pattern.test(line)))), why)
})

test('who is said to type the commands of a page reads it', () => {
  for (const [page, [, ...tests]] of Object.entries(typed)) {
    for (const file of tests) assert.ok(existsSync(join(root, file)) && readFileSync(join(root, file), 'utf8').includes(basename(page, '.md')), `${file}: ${page}`)
  }
})

test('there is a shell in no other kind of block', () => {
  for (const page of all) {
    const languages = blocksOf(readFileSync(join(root, page), 'utf8')).map(({ language }) => language)
    assert.deepEqual(languages.filter((language) => /^(sh|shell|zsh)$/.test(language)), [], page)
  }
})

test('each script that a page names is there, and each for people is named in the README', () => {
  const named = (page: string) => new Set(shellOf(page).flatMap((command) => [...command.matchAll(/\bnpm run ([\w:]+)/g)].map(([, name = '']) => name)))
  const scripts: Readonly<Record<string, string>> = manifest.scripts
  for (const page of all) for (const name of named(page)) assert.ok(Object.hasOwn(scripts, name), `${page}: ${name}`)
  for (const [name, script] of Object.entries(scripts)) {
    const [, file] = /\bnode (?:--\S+ )*(\S+)/.exec(script) ?? []
    if (file !== undefined) assert.ok(existsSync(join(root, file)), `${name}: ${file}`)
  }
  const parts = ['start', 'test', 'types', 'lint', 'unused', 'test:load:long', 'screenshots']
  assert.deepEqual(Object.keys(scripts).filter((name) => !named('README.md').has(name) && !parts.includes(name)), [])
})

test('commands that name a release name this one', () => {
  for (const page of all) {
    for (const command of shellOf(page)) {
      for (const [, version] of command.matchAll(/modelroute(?::|@refs\/tags\/v)(\d+\.\d+\.\d+)/g)) assert.equal(version, manifest.version, `${page}: ${command}`)
    }
  }
})
