import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import test from 'node:test'

/** The rules of the house: who may import whom. One direction, and one door for each vendor. */

type Import = { file: string; line: number; from: string; typeOnly: boolean; dynamic: boolean }

const folders = ['crds', 'table', 'outgoing', 'exposition', 'console', 'controller', 'dataplane', 'cli']
const sources = folders
  .flatMap((folder) => globSync(`${folder}/**/*.ts`))
  .filter((file) => !/\.(test|e2e)\.ts$/.test(file))

const imports: Import[] = sources.flatMap((file) => {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'([^']+)'|^import\s+'([^']+)'|import\('([^']+)'\)/gm)].map((m) => {
    const name = m[2] ?? m[3] ?? m[4] ?? ''
    const from = name.startsWith('.') ? normalize(join(dirname(file), name)) : name
    return { file, from, typeOnly: m[1] !== undefined, dynamic: m[4] !== undefined, line: text.slice(0, m.index).split('\n').length }
  })
})

function forbid(rule: string, broken: (i: Import) => boolean): void {
  test(rule, () => {
    assert.ok(imports.length > 100, 'the sources were found')
    assert.deepEqual(imports.filter(broken).map((i) => `${i.file}:${i.line} imports ${i.from}`), [])
  })
}

const within = (path: string, ...folders: string[]) => folders.some((folder) => path.startsWith(`${folder}/`))
const ours = (path: string) => within(path, ...folders, 'test', 'bench', 'examples')
const wiring = (file: string) => within(file, 'cli') || file === 'controller/main.ts' || file === 'dataplane/main.ts'

forbid('table imports nothing of ours', (i) => within(i.file, 'table') && ours(i.from) && !within(i.from, 'table'))
forbid('crds imports nothing of ours', (i) => within(i.file, 'crds') && ours(i.from) && !within(i.from, 'crds'))
forbid(
  // Expressions and schemas are the exception: what is refused here and what runs there must be one thing. And how maps differ
  // from those before them, which the sources say and the publisher asks.
  'compile imports only types of table, crds and the snapshot, the expressions, the schemas and how maps differ',
  (i) =>
    within(i.file, 'controller/compile') && ours(i.from) && !within(i.from, 'controller/compile') &&
    !['table/changes.ts', 'table/expression.ts', 'table/re2.ts', 'table/step_expression.ts', 'table/values.ts', 'table/schema/schema.ts'].includes(i.from) &&
    !(i.typeOnly && (within(i.from, 'table', 'crds') || i.from === 'controller/sources/snapshot.ts')),
)
forbid('what both halves call out with imports only the table', (i) =>
  within(i.file, 'outgoing') && ours(i.from) && !within(i.from, 'outgoing', 'table'))
forbid('what both halves write metrics with imports nothing of ours', (i) =>
  within(i.file, 'exposition') && ours(i.from) && !within(i.from, 'exposition'))
forbid('what both halves show a browser imports only the table', (i) =>
  within(i.file, 'console') && ours(i.from) && !within(i.from, 'console', 'table'))
forbid('the data plane never imports the controller', (i) =>
  within(i.file, 'dataplane') && within(i.from, 'controller', 'crds', 'cli'))
forbid('the controller never imports the data plane', (i) =>
  within(i.file, 'controller') && within(i.from, 'dataplane', 'cli'))
forbid('a filter never imports another filter', (i) => {
  const folder = /^dataplane\/filters\/([^/]+)\//.exec(i.file)?.[1]
  const other = /^dataplane\/filters\/([^/]+)\//.exec(i.from)?.[1]
  return folder !== undefined && other !== undefined && folder !== other
})
forbid('nothing that ships imports tests, benchmarks or (but for the tour) examples', (i) =>
  within(i.from, 'test', 'bench') || (within(i.from, 'examples') && i.file !== 'cli/start.ts'))
forbid('only main.ts and the command line wire things together', (i) =>
  !wiring(i.file) && (i.from === 'controller/main.ts' || i.from === 'dataplane/main.ts'))

forbid('the libraries of tracing are loaded only where something is to be traced', (i) =>
  within(i.from, 'dataplane/telemetry/tracing') && !within(i.file, 'dataplane/telemetry/tracing') && !i.typeOnly && !i.dynamic)

const doors: Record<string, RegExp> = {
  express: /^dataplane\/server\.ts$/,
  'mmdb-lib': /^dataplane\/pipeline\/geo\.ts$/,
  ioredis: /^dataplane\/redis\.ts$/,
  'http-proxy': /^dataplane\/upstream\/tunnel-proxy\.ts$/,
  undici: /^outgoing\//,
  jsonwebtoken: /^dataplane\/filters\/auth\//,
  yaml: /^(controller\/sources\/files|crds\/generate|build\/release)/,
  '@opentelemetry': /^dataplane\/telemetry\/tracing\//,
  'prom-client': /^((dataplane|controller)\/telemetry|exposition)\//,
  '@peculiar/x509': /^controller\/certificates\//,
  'reflect-metadata': /^controller\/certificates\//,
  '@kubernetes/client-node': /^controller\/(kubernetes\/|sources\/kubernetes)/,
}
for (const [vendor, door] of Object.entries(doors)) {
  forbid(`one door for ${vendor}`, (i) => (i.from === vendor || i.from.startsWith(`${vendor}/`)) && !door.test(i.file))
}
