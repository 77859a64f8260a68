import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import * as v from 'valibot'
import { parseAllDocuments, stringify } from 'yaml'
import { createCompiler } from '../controller/compile/compile.ts'
import type { Compiled } from '../controller/compile/compiled.ts'
import { readManifests } from '../controller/sources/files.ts'
import { valid } from '../crds/cases/valid.ts'
import { EndpointSetSchema } from '../table/endpoints.ts'
import { RouteSchema } from '../table/route.ts'
import { runs } from './runs.ts'

/**
 * Manifests mutated at random, by the thousand, one after the other through one controller: whatever they have become,
 * nothing crashes, every problem has a place, what is compiled is a table that a proxy accepts, and a route beside
 * them is the same to the byte.
 */
const RUNS = runs(300, 10_000)

const bystander = `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: bystander, namespace: bystander}
spec:
  hostnames: [bystander.example.com]
  rules:
  - name: infer
    matches: [{path: {type: PathPrefix, value: /v2}, method: POST}]
    backendRefs:
    - {variant: stable, name: bystander, port: 8000, weight: 90}
    - {variant: canary, name: bystander, port: 8001, weight: 10}
---
apiVersion: v1
kind: Service
metadata: {name: bystander, namespace: bystander}
spec: {ports: [{name: a, port: 8000}, {name: b, port: 8001}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: bystander, namespace: bystander, labels: {kubernetes.io/service-name: bystander}}
addressType: IPv4
ports: [{name: a, port: 18081}, {name: b, port: 18082}]
endpoints: [{addresses: [127.0.0.1]}]
---
`

/** Every golden input of a usual size, and every field that there is, as trees. */
const folder = join(import.meta.dirname, 'golden')
const golden: readonly unknown[][] = readdirSync(folder)
  .filter((file) => file.endsWith('.in.yaml'))
  .map((file) => readFileSync(join(folder, file), 'utf8'))
  .filter((text) => text.length < 8000)
  .map((text) => parseAllDocuments(text, { logLevel: 'silent' }))
  .map((documents) => ('empty' in documents ? [] : documents.map((document) => document.toJS() as unknown)))

const fields = valid.map(({ object }) => [object]).filter((tree) => JSON.stringify(tree).length < 20_000)
const seeds = [...golden, ...fields]

type Container = Record<string, unknown> | unknown[]
const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null

/** Each place of a tree: what holds it, and its key there. */
function placesOf(value: unknown, into: { holder: Container; key: string }[] = []) {
  if (!isContainer(value)) return into
  for (const [key, child] of Object.entries(value)) {
    into.push({ holder: value, key })
    placesOf(child, into)
  }
  return into
}

const odd = fc.constantFrom<unknown>(
  null, '', ' ', 0, -1, 1.5, 1e308, 65_536, 2 ** 53, true, false, [], {}, [[]], [null], { '': '' }, '__proto__',
  'constructor', '*', '/', '//', '%', '\u0000', '\ud800', '𝕏', '(((', '(a+)+$', '[', '10s', '99999h', '-1s', '1000000',
  'Exact', 'Service', 'URL', 'http://127.0.0.1', 'https://user:pass@x', 'default', '*.*', '::1', 'x'.repeat(5000),
  JSON.parse('{"__proto__": {"polluted": true}}') as unknown,
)

const mutation = fc.record({
  how: fc.constantFrom('delete', 'replace', 'duplicate', 'rename', 'copy', 'wrap'),
  at: fc.noBias(fc.nat()),
  from: fc.noBias(fc.nat()),
  value: odd,
})
type Mutation = typeof mutation extends fc.Arbitrary<infer M> ? M : never

const get = (holder: Container, key: string) => (holder as Record<string, unknown>)[key]

function put(holder: Container, key: string, value: unknown): void {
  Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true })
}

function mutate(tree: unknown[], { how, at, from, value }: Mutation): void {
  const places = placesOf(tree)
  const place = places[at % Math.max(1, places.length)]
  if (place === undefined) return
  const { holder, key } = place
  const other = places[from % places.length]
  if (how === 'replace') put(holder, key, structuredClone(value))
  else if (how === 'wrap') put(holder, key, [get(holder, key)])
  else if (how === 'copy' && other !== undefined) put(holder, key, structuredClone(get(other.holder, other.key)))
  else if (how === 'duplicate' && Array.isArray(holder)) holder.push(structuredClone(get(holder, key)))
  else if (how === 'rename') {
    put(holder, Array.isArray(holder) ? String(holder.length) : String(value).slice(0, 20), get(holder, key))
  } else if (Array.isArray(holder)) holder.splice(Number(key), 1)
  else Reflect.deleteProperty(holder, key)
}

const signs = [
  '', ' ', '\n', '\t', '"', "'", '{', ']', ':', '-', '&a ', '*a', '<<: ', '!!int ', '#', '|', '\r', '\u0000', '\ufeff',
  '---\n', '...\n',
]
const noise = fc.record({ at: fc.noBias(fc.nat()), cut: fc.nat(3), text: fc.constantFrom(...signs) })

const mutant = fc.record({
  seed: fc.noBias(fc.nat()),
  mutations: fc.array(mutation, { minLength: 1, maxLength: 4 }),
  noise: fc.oneof(fc.constant([]), fc.constant([]), fc.array(noise, { maxLength: 4 })),
  json: fc.boolean(),
})
type Mutant = typeof mutant extends fc.Arbitrary<infer M> ? M : never

function textOf({ seed, mutations, noise, json }: Mutant): string {
  const tree = structuredClone(seeds[seed % seeds.length] ?? [])
  for (const each of mutations) mutate(tree, each)
  const yaml = (document: unknown) => stringify(document, { aliasDuplicateObjects: false })
  const write = (document: unknown) => (json ? `${JSON.stringify(document)}\n` : yaml(document))
  let text = tree.filter((document) => document !== undefined).map(write).join('---\n')
  for (const { at, cut, text: inserted } of noise) {
    const start = at % (text.length + 1)
    text = text.slice(0, start) + inserted + text.slice(start + cut)
  }
  return bystander + text
}

const own = ({ fleets, routes }: Compiled) => {
  const fleet = fleets.get('default')
  const sets = [8000, 8001].map((port) => fleet?.endpoints.get(`bystander/bystander:${port}`))
  return JSON.stringify([fleet?.routes.get('bystander/bystander'), sets, routes.get('bystander/bystander')])
}

const compileFresh = () =>
  createCompiler({ allowUrls: ['models.example.com'], allowLoopback: true, allowUnmanagedEndpointSlices: true })

async function* streamOf(text: string) {
  yield text
}

test(`${RUNS} mutated manifests crash nothing, and touch no other route`, async () => {
  const alone = await readManifests(['-'], streamOf(bystander))
  const untouched = own(compileFresh()(alone.snapshot))
  assert.match(untouched, /"canary"/)
  const compile = compileFresh()
  const check = async (each: Mutant) => {
    const { snapshot, problems, locate } = await readManifests(['-'], streamOf(textOf(each)))
    const compiled = compile(snapshot)
    assert.equal(own(compiled), untouched)
    for (const fleet of compiled.fleets.values()) {
      for (const route of fleet.routes.values()) v.parse(RouteSchema, route)
      for (const set of fleet.endpoints.values()) v.parse(EndpointSetSchema, set)
    }
    for (const { line, message } of problems) assert.ok(line > 0 && message !== '')
    for (const [kind, outcomes] of [['ModelRoute', compiled.routes], ['RateLimitPolicy', compiled.policies]] as const) {
      for (const [key, { problems }] of outcomes) {
        const [namespace = '', name = ''] = key.split('/')
        for (const { field, reason, message } of problems) {
          assert.ok(reason !== '' && message !== '')
          assert.doesNotMatch(message, /fault of ModelRoute/)
          assert.ok((locate(kind, namespace, name, field)?.line ?? 0) > 0, `${kind} ${key} ${field}`)
        }
      }
    }
    assert.equal(Object.getOwnPropertyDescriptor(Object.prototype, 'polluted'), undefined)
  }
  await fc.assert(fc.asyncProperty(mutant, check), { numRuns: RUNS, endOnFailure: true })
})
