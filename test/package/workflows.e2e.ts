// The workflows: that they are valid, that they do what `npm run check` and .ci/run do, and that nobody else can change what
// they run.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import test from 'node:test'
import { parse } from 'yaml'
import manifest from '../../package.json' with { type: 'json' }
import { withoutGo } from '../cluster/build.ts'
import { ensureActionlint } from './actionlint.ts'

const root = join(import.meta.dirname, '../..')
const files = globSync(join(root, '.github/workflows/*.yml')).sort()
type Step = Readonly<{ uses?: string; run?: string; with?: Readonly<Record<string, unknown>> }>
type Job = Readonly<{ steps: readonly Step[]; permissions?: Readonly<Record<string, string>>; 'timeout-minutes'?: number }>
type Workflow = Readonly<{ permissions: object; concurrency?: object; jobs: Readonly<Record<string, Job>> }>
const workflows = new Map(files.map((file) => [basename(file), parse(readFileSync(file, 'utf8')) as Workflow]))
const jobs = [...workflows].flatMap(([file, workflow]) => Object.entries(workflow.jobs).map(([name, job]) => ({ at: `${file} ${name}`, job })))

test('the workflows are valid', { skip: await withoutGo(), timeout: 240_000 }, async () => {
  assert.deepEqual([...workflows.keys()], ['ci.yml', 'release.yml'])
  assert.equal(execFileSync(await ensureActionlint(), ['-no-color', ...files], { cwd: root, encoding: 'utf8' }), '')
})

test('what they use is pinned to a commit, and says which version that is', () => {
  const lines = files.flatMap((file) => readFileSync(file, 'utf8').split('\n').filter((line) => line.includes('uses:')))
  assert.ok(lines.length > 10)
  for (const line of lines) assert.match(line, /uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/)
  // Two pins of one action would be two versions, one of which is forgotten.
  const pins = new Set(lines.map((line) => line.trim().replace('- ', '')))
  assert.equal(pins.size, new Set([...pins].map((pin) => pin.split('@')[0])).size)
})

test('each job may do what it needs, says how long it takes, and keeps no credentials for what it runs', () => {
  for (const workflow of workflows.values()) {
    assert.deepEqual(workflow.permissions, {})
    assert.ok(workflow.concurrency)
  }
  for (const { at, job } of jobs) {
    assert.ok(job.permissions && (job['timeout-minutes'] ?? 0) > 0, at)
    for (const step of job.steps) if (step.uses?.startsWith('actions/checkout@')) assert.equal(step.with?.['persist-credentials'], false, at)
    // What comes from outside reaches commands as variables: an expression in a script would be a part of it.
    for (const { run = '' } of job.steps) assert.doesNotMatch(run, /\$\{\{/, at)
    if (!at.startsWith('release.yml')) assert.deepEqual(job.permissions, { contents: 'read' }, at)
  }
})

test('they check what everybody checks on their own machine, and a release no less', () => {
  const runs = (file: string, job: string) => workflows.get(file)?.jobs[job]?.steps.flatMap(({ run }) => run ?? [])
  assert.deepEqual(runs('ci.yml', 'check'), ['npm ci', 'npm run check'])
  assert.match(runs('ci.yml', 'everything')?.join() ?? '', /\.ci\/run$/)
  assert.equal(runs('release.yml', 'verify')?.at(-1), 'npm run check')
  const everything = readFileSync(join(root, '.ci/run'), 'utf8')
  for (const step of manifest.scripts.check.split(' && ')) {
    assert.match(everything, new RegExp(`^step \\w+ \\d+ ${step.replace('npm run ', 'npm run --silent ')}$`, 'm'))
  }
})

test('what is released is signed, and says what is in it and where it was made', () => {
  const of = (name: string) => workflows.get('release.yml')?.jobs[name] ?? assert.fail(name)
  const scripts = (name: string) => of(name).steps.flatMap(({ run }) => run ?? []).join('\n')
  const using = (name: string, action: string) => of(name).steps.filter(({ uses }) => uses?.startsWith(`${action}@`)).map((step) => step.with ?? {})
  const [image = {}] = using('image', 'docker/build-push-action')
  assert.deepEqual([image['push'], image['provenance'], image['sbom'], image['platforms']], [true, 'mode=max', true, 'linux/amd64,linux/arm64'])
  const given = [...String(image['build-args']).matchAll(/^(\w+)=/gm)].map(([, name = '']) => name)
  const taken = [...readFileSync(join(root, 'Dockerfile'), 'utf8').matchAll(/^ARG (\w+)/gm)].map(([, name = '']) => name)
  assert.deepEqual(new Set(given), new Set(taken), 'what the Dockerfile asks for is given')
  // Once for what npm says is in it, once for where it was made.
  const attested = using('image', 'actions/attest')
  assert.deepEqual(attested.map((given) => [given['sbom-path'], given['push-to-registry']]), [['dist/sbom.cdx.json', true], [undefined, true]])
  assert.match(scripts('image'), /^cosign sign --yes --recursive "\$IMAGE@\$DIGEST"$/m)
  assert.match(scripts('chart'), /^cosign sign --yes "[^"]*@\$\{digest:\?/m)
  assert.match(scripts('npm'), /^npm publish \.\/dist\/package --provenance --access public /m)
  assert.match(scripts('release'), /for format in cyclonedx spdx; do[^]*npm sbom /)
  assert.match(scripts('release'), /build\/release\.ts notes /)
  // Who signs, and who vouches for where it was made, is told by the token of the job.
  for (const name of ['image', 'npm', 'chart']) assert.equal(of(name).permissions?.['id-token'], 'write', name)
  assert.equal(of('image').permissions?.['attestations'], 'write')
})

test('a release is made of one tag, and nothing is published before all is checked', () => {
  const { jobs: steps } = parse(readFileSync(join(root, '.github/workflows/release.yml'), 'utf8')) as { jobs: Record<string, { needs?: string | string[] }> }
  const before = (job: string): string[] => [steps[job]?.needs ?? []].flat().flatMap((name) => [name, ...before(name)])
  for (const job of Object.keys(steps)) if (job !== 'verify') assert.ok(before(job).includes('verify'), job)
  assert.deepEqual(new Set(before('release')), new Set(['verify', 'image', 'npm', 'chart']))
})
