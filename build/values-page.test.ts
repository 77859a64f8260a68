import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { path, resolved, schema, values, valuesPage, type Schema, type Value } from './values-page.ts'

test('docs/reference/values.md has every value of the chart: npm run generate', () => {
  assert.equal(readFileSync(path, 'utf8'), valuesPage())
})

test('what values.yaml has and what the schema admits are the same', () => {
  const listed = (all: readonly Value[]): string[] => all.flatMap(({ path: at, children }) => [at, ...(children === undefined ? [] : listed(children))])
  const admitted = (node: Schema, prefix: string, known: ReadonlyMap<string, Value>): string[] =>
    Object.entries(resolved(node).properties ?? {}).flatMap(([name, own]) => {
      const at = `${prefix}${name}`
      return [at, ...(known.get(at)?.children === undefined ? [] : admitted(own, `${at}.`, known))]
    })
  const flat = (all: readonly Value[]): Value[] => all.flatMap((value) => [value, ...flat(value.children ?? [])])
  const known = new Map(flat(values()).map((value) => [value.path, value]))
  // Types of Kubernetes have more fields than their defaults; a name belongs to an entry of gateways, and global to Helm.
  const more = /^(global|gatewayDefaults\.name|podSecurityContext\..+|(.+\.)?securityContext\..+|.+\.resources\.claims)$/
  assert.deepEqual(admitted(schema, '', known).filter((at) => !more.test(at)).sort(), listed(values()).filter((at) => !more.test(at)).sort())
})

test('no object of the schema takes what it does not name, unless it says so', () => {
  const open: string[] = []
  const look = (node: unknown, at: string): void => {
    if (Array.isArray(node)) return node.forEach((item, index) => look(item, `${at}[${index}]`))
    if (typeof node !== 'object' || node === null) return
    const { type, additionalProperties } = node as Schema
    if ((type === 'object' || (Array.isArray(type) && type.includes('object'))) && additionalProperties === undefined) open.push(at)
    for (const [key, value] of Object.entries(node)) look(value, `${at}/${key}`)
  }
  look(schema, '')
  assert.deepEqual(open, [])
})

test('every value is explained, but for those that Kubernetes explains', () => {
  const kubernetes = /(^|\.)(serviceAccount\.annotations|annotations|labels|podAnnotations|podLabels|nodeSelector|tolerations|affinity|priorityClassName|resources\..*|image\.(pullPolicy|repository)|service\.(type|port|annotations|loadBalancerClass|loadBalancerSourceRanges|externalTrafficPolicy)|autoscaling\.(enabled|minReplicas|maxReplicas)|existingSecret(Key)?(\..*)?|extra[A-Z]\w+|securityContext\..*|podSecurityContext\..*|logLevel|enabled|volume|name)$/
  const bare = (all: readonly Value[], explained: boolean): string[] => all.flatMap(({ path: at, comment, children }) => {
    const told = explained || comment !== ''
    return children === undefined ? (told || kubernetes.test(at) ? [] : [at]) : bare(children, told)
  })
  assert.deepEqual(bare(values(), false), [])
})

test('a Secret that is there already is named in one way wherever there is one', () => {
  const flat = (all: readonly Value[]): string[] => all.flatMap(({ path: at, children }) => [at, ...flat(children ?? [])])
  const named = flat(values()).filter((at) => /secret/i.test(at))
  assert.ok(named.length > 8)
  assert.deepEqual(named.filter((at) => !/(^|\.)existingSecret(Key|\.(controller|proxy))?$|^(imagePullSecrets|secretNamespaces)$/.test(at)), [])
})
