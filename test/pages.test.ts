import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startModelServer } from '../examples/quickstart/server.ts'
import { until } from './cluster/wait.ts'
import { blockOf } from './example.ts'
import { blocksOf, emptyFolder, typedIn, walk, walkBlocks, type Block } from './walk.ts'

/**
 * Commands that stand alone on their pages, with what a reader would have beside them: a gateway over files, as its own page
 * starts it, and then what other pages ask of it.
 */

const page = (name: string) => readFileSync(join(import.meta.dirname, '..', name), 'utf8')
const bash = (text: string, name = ''): Block => ({ language: 'bash', name, text })
const file = (name: string, text: string) => bash(`mkdir -p "$(dirname ${name})"\ncat > ${name} <<'END'\n${text}END\n`)
const commands = (name: string) => blocksOf(page(name)).flatMap(({ language, text }) => (language === 'bash' ? [text] : []))
const only = <T>(list: readonly T[]): T => {
  assert.equal(list.length, 1)
  return list[0]!
}

const manifests = (port: number) => `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: ml}
spec:
  rules:
  - name: infer
    matches: [{path: {type: PathPrefix, value: /v2/models/fraud}}]
    backendRefs:
    - {variant: stable, kind: URL, url: "http://127.0.0.1:${port}", weight: 100}
    - {variant: canary, kind: URL, url: "http://127.0.0.1:${port}", weight: 0}
    - {variant: shadow, kind: URL, url: "http://127.0.0.1:${port}", weight: 0}
    rollout: {candidate: canary, steps: [{percent: 10, approval: true}]}
    cache: {ttl: 5m, scope: Shared, tags: [fraud-features]}
    mirror: {variant: shadow, percent: 100, compare: {}}
    logging: {predictions: {samplePercent: 100, bodies: Full}}
`

test('a gateway that records, as replay.md starts it, and what pages ask of one', { timeout: 200_000 }, async (t) => {
  const model = await startModelServer({ version: '1', port: 0, host: '127.0.0.1' })
  t.after(() => model.close())
  const [, record = ''] = commands('docs/replay.md')
  const [metrics, purge, mirrors, predictions, rollout = ''] = [
    only(commands('docs/metrics.md')), only(typedIn(page('docs/caching.md'))), only(typedIn(page('docs/mirroring.md'))),
    only(typedIn(page('docs/predictions.md'))), typedIn(page('docs/rollouts.md')).at(-1),
  ]
  const top = commands('docs/top.md')
  assert.equal(top.length, 2)
  const body = '{"inputs":[{"name":"amount","shape":[1],"datatype":"FP32","data":[120]}]}'
  const said = await walkBlocks(t, [
    file('manifests/route.yaml', manifests(Number(new URL(model.url).port))),
    bash(record, 'serve'),
    bash('http://127.0.0.1:8080/v2/models/fraud/infer http://127.0.0.1:9901/predictions', 'asked'),
    bash(metrics),
    bash(mirrors),
    bash(predictions),
    // Without `--once` it looks until somebody ends it; test/servers/top.e2e.ts has it in a terminal.
    ...top.map((text) => bash(text.replaceAll(/^modelroute top(?!.*--once)/gm, '$& --once').replaceAll(/^(modelroute top)(?!.*--control)/gm, '$1 --admin http://127.0.0.1:9901'))),
    bash("sed -i -e '/stable/s/100/0/' -e '/canary, kind/s/weight: 0/weight: 100/' manifests/route.yaml\nsleep 1"),
    bash(rollout),
    bash(purge),
    bash('cat audit.jsonl'),
  ], {
    stands: {
      // Statistics are made where a process has time for them.
      async asked(text) {
        const [infer = '', statistics = ''] = text.split(' ')
        await until('statistics', async () => {
          assert.equal((await fetch(infer, { method: 'POST', body, headers: { 'content-type': 'application/json' } })).status, 200)
          return /"requests"/.test(await (await fetch(statistics)).text())
        })
      },
    },
  })
  const [, counted = '', mirrored = '', drift = '', one = '', several = '', , steered = '', purged = '', audit = ''] = said
  assert.match(counted, /^modelroute_requests_total\{route="ml\/fraud",rule="infer",variant="stable".*\} [1-9]/m)
  assert.match(mirrored, /^ml\/fraud infer → shadow$/m)
  assert.match(drift, /^ml\/fraud infer stable/m)
  assert.match(one, /fraud/)
  assert.ok(several.trim().split('\n').length >= 3)
  assert.match(steered, /"phase":"Aborted"/)
  // What it says is what the page shows, but for how much there was.
  const shown = blockOf(page('docs/caching.md'), 'console').trimEnd().split('\n').at(-1) ?? ''
  assert.deepEqual(Object.keys(JSON.parse(purged) as object), Object.keys(JSON.parse(shown) as object))
  assert.equal((JSON.parse(purged) as { answers: number }).answers, 1)
  assert.match(audit, /"msg":"audit"/)
})

test('plugins.md: its plugin fits its route, and is served', { timeout: 200_000 }, async (t) => {
  const text = page('docs/plugins.md')
  const [check = '', serve = ''] = (commands('docs/plugins.md')[0] ?? '').split(/(?<=\n)/)
  assert.match(check, /^npx modelroute check /)
  const wrong = bash(`sed -i 's/header: x-team/heder: x-team/' route.yaml\n${check.trim()} || true`)
  const route = blocksOf(text).find(({ language, text: block }) => language === 'yaml' && block.startsWith('apiVersion'))?.text ?? ''
  const service = '---\napiVersion: v1\nkind: Service\nmetadata: {name: fraud}\nspec: {ports: [{port: 8000}]}\n'
  const said = await walkBlocks(t, [
    file('plugins/needs-team.ts', blockOf(text, 'ts')), file('route.yaml', route + service), bash(check), bash(serve, 'serve'),
    bash("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/"), wrong,
  ])
  assert.equal(said.at(-2), '403')
  assert.ok(said.at(-1)?.includes(blockOf(text, 'text').trim()), said.at(-1))
})

test('predictions.md: a log beside the example', { timeout: 200_000 }, async (t) => {
  const example = page('examples/predictions/route.yaml')
  await walkBlocks(t, [file('examples/predictions/route.yaml', example), bash(only(commands('docs/predictions.md')), 'serve'), bash('test -f predictions.jsonl')])
})

test('from-inferencegraph.md: a graph becomes a route; of it `check` misses what is only in the cluster', { timeout: 200_000 }, async (t) => {
  const { cwd, env } = emptyFolder(t)
  const text = page('docs/from-inferencegraph.md')
  const graph = blocksOf(text).find(({ name }) => name === 'graph')?.text ?? ''
  const said = await walk(t, [file('graph.yaml', graph), ...typedIn(text).map((command) => bash(`{ ${command}; } 2>&1`))], { cwd, env, strict: false })
  assert.match(said.at(-1) ?? '', /^1 object: 2 errors, 0 warnings$/m)
  assert.equal(said.at(-1)?.match(/ BackendNotFound: InferenceService \S+ does not exist$/gm)?.length, 2)
})
