import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { readManifests } from './files.ts'

async function read(t: TestContext, text: string) {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-secrets-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'all.yaml')
  writeFileSync(file, text)
  return readManifests([file])
}

const base64 = (text: string) => Buffer.from(text).toString('base64')

test('a Secret is read as an API server takes it in: stringData is plain and wins, data is base64', async (t) => {
  const { snapshot, problems } = await read(t, `
apiVersion: v1
kind: Secret
metadata: {name: a, namespace: ml}
type: Opaque
data:
  both: b2xk
  long: |
    YWJj
    ZGVm
  gone: null
stringData: {both: new, plain: text}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {ca.crt: pem}
binaryData: {der: AAEC}
`)
  assert.deepEqual(problems, [])
  const { data, type } = snapshot.secrets.get('ml/a') ?? {}
  assert.equal(type, 'Opaque')
  assert.deepEqual(data, new Map([['both', base64('new')], ['long', base64('abcdef')], ['plain', base64('text')]]))
  const map = snapshot.configMaps.get('default/c')?.data
  assert.deepEqual(map, new Map([['ca.crt', base64('pem')], ['der', 'AAEC']]))
})

test('what is wrong with a Secret is told by its place, and its value never', async (t) => {
  const { snapshot, problems } = await read(t, `
apiVersion: v1
kind: Secret
metadata: {name: plain}
data: {token: canary of a secret}
---
apiVersion: v1
kind: Secret
metadata: {name: number}
stringData: {token: 4711471147114711}
---
apiVersion: v1
kind: Secret
metadata: {name: text}
data: canary
`)
  assert.equal(snapshot.secrets.size, 0)
  const text = JSON.stringify(problems)
  assert.ok(!text.includes('canary') && !text.includes('4711'), text)
  assert.deepEqual(problems.map(({ name, field, line }) => [name, field, line]), [['plain', 'data.token', 5], ['number', 'stringData.token', 10], ['text', 'data', 15]])
  assert.match(problems[0]?.message ?? '', /not base64; plain text goes under stringData/)
})
