import assert from 'node:assert/strict'
import test from 'node:test'
import { parse } from 'yaml'
import { generated, stale } from './generate.ts'
import { chartTemplate } from './generate/chart.ts'
import { modelRoute } from './schema/modelroute.ts'
import { reachable } from './schema/node.ts'
import { rateLimitPolicy } from './schema/ratelimitpolicy.ts'

const nodes = [modelRoute, rateLimitPolicy].flatMap(({ spec, status }) => [...reachable(spec), ...reachable(status)])
const manifests = [...generated()].filter(([path]) => path.startsWith('crds/') && path.endsWith('.yaml'))

test('the generated files are as the schema has them', () => {
  assert.deepEqual(stale(), [], 'run: npm run generate')
})

test('a file that is missing is stale', () => {
  assert.deepEqual(stale('/nonexistent'), [...generated().keys()])
  assert.equal(generated().size, 7)
})

test('every field and item is described in a sentence', () => {
  assert.ok(nodes.length > 500)
  for (const { description } of nodes) {
    assert.match(description, /^\S.{4,}[.)]$/)
    assert.doesNotMatch(description, /\s{2}|\n/)
  }
})

test('every switch and choice of a spec that may be left out says what is then', () => {
  for (const resource of [modelRoute, rateLimitPolicy]) {
    for (const node of reachable(resource.spec)) {
      if (node.kind !== 'object') continue
      for (const [name, field] of Object.entries(node.fields)) {
        const choice = field.kind === 'boolean' || (field.kind === 'string' && field.values !== undefined)
        if (!choice || field.required === true) continue
        assert.match(field.description, /Default: |Follows kind/, `${node.name}.${name}`)
      }
    }
  }
})

test('objects of one name have one shape', () => {
  const shapes = new Map<string, string>()
  for (const node of nodes) {
    if (node.kind !== 'object') continue
    const shape = JSON.stringify({ ...node, description: '', required: undefined })
    assert.equal(shapes.get(node.name) ?? shape, shape, node.name)
    shapes.set(node.name, shape)
  }
})

test('every list is bounded, and every key of a list map is a required string', () => {
  for (const node of nodes) {
    if (node.kind !== 'list') continue
    assert.ok(node.max >= 1 && node.max <= 64, node.description)
    if (node.merge === 'map') {
      assert.ok(node.items.kind === 'object' && node.keys.length > 0)
      for (const key of node.keys) {
        const field = node.items.fields[key]
        assert.ok(field?.required === true && field.kind === 'string', `${node.items.name}.${key}`)
      }
    } else assert.ok(node.merge === 'atomic' || node.items.kind !== 'object', node.description)
  }
})

test('no field has a default in the schema, and none is a float', () => {
  for (const [path, text] of manifests) {
    assert.doesNotMatch(text, /^\s*default:/m, path)
    assert.doesNotMatch(text, /type: number/, path)
  }
})

test('kubectl apply without --server-side can still hold the CRD in its annotation', () => {
  assert.equal(manifests.length, 2)
  for (const [path, text] of manifests) assert.ok(JSON.stringify(parse(text)).length < 262_144, path)
})

test('kubectl get shows what the contract says', () => {
  const shown = (columns: typeof modelRoute.columns) =>
    columns.filter(({ priority }) => priority === undefined).map(({ name }) => name)
  assert.deepEqual(shown(modelRoute.columns), ['Hostnames', 'Weights', 'Rollout', 'Programmed', 'Age'])
  assert.deepEqual(shown(rateLimitPolicy.columns), ['Target', 'Accepted', 'Programmed', 'Age'])
})

test('the chart keeps its CRDs, and takes no braces of a description for its own', () => {
  const manifest = 'apiVersion: v1\nkind: X\nmetadata:\n  name: a\n  labels:\n    b: c\nspec: write {{ x }}\n'
  const shared = ['selector', 'labels'].map((part) => `    {{- include "modelroute.${part}" . | nindent 4 }}`)
  assert.equal(chartTemplate(manifest), [
    '{{- if .Values.crds.enabled }}',
    'apiVersion: v1', 'kind: X', 'metadata:', '  name: a',
    '  {{- if .Values.crds.keep }}', '  annotations:', '    helm.sh/resource-policy: keep', '  {{- end }}',
    '  labels:', '    b: c', ...shared, 'spec: write {{ "{{" }} x {{ "}}" }}',
    '{{- end }}', '',
  ].join('\n'))
  assert.ok(chartTemplate(manifest.replace('  labels:\n    b: c\n', '')).includes(['  {{- end }}', '  labels:', ...shared, 'spec:'].join('\n')))
})
