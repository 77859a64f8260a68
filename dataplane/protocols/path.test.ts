import assert from 'node:assert/strict'
import { test } from 'node:test'
import { modelOf, protocolOf, renameModel } from './path.ts'

for (const [path, name, version, rest] of [
  ['/v2/models/m', 'm', undefined, ''],
  ['/v2/models/m/infer', 'm', undefined, '/infer'],
  ['/v2/models/m/versions/3', 'm', '3', ''],
  ['/v2/models/m/versions/3/infer', 'm', '3', '/infer'],
  ['/v2/models/org%2Fm/ready', 'org/m', undefined, '/ready'],
  ['/v2/models/llama3:8b/infer', 'llama3:8b', undefined, '/infer'],
  ['/v2/models/m%C3%A9/infer', 'mé', undefined, '/infer'],
  ['/v1/models/m', 'm', undefined, ''],
  ['/v1/models/m:predict', 'm', undefined, ':predict'],
  ['/v1/models/mistral:latest:predict', 'mistral:latest', undefined, ':predict'],
  ['/v1/models/mistral:latest', 'mistral:latest', undefined, ''],
  ['/v1/models/m/versions/2:predict', 'm', '2', ':predict'],
  ['/v1/models/m/metadata', 'm', undefined, '/metadata'],
] as const) {
  test(`${path} names ${name} ${version ?? ''}`, () => {
    const named = modelOf(path)
    assert.deepEqual([named?.name, named?.version, named?.rest], [name, version, rest])
  })
}

for (const path of ['/', '/v2', '/v2/models', '/v2/models/', '/v2/health/ready', '/v1/models', '/v1/models/', '/v1/chat/completions', '/v2/models/%FF', '/x/v2/models/m']) {
  test(`${path} names no model`, () => assert.equal(modelOf(path), undefined))
}

for (const [path, to, expected] of [
  ['/v2/models/a/infer', { name: 'b' }, '/v2/models/b/infer'],
  ['/v2/models/a/infer', { name: 'b', version: '7' }, '/v2/models/b/versions/7/infer'],
  ['/v2/models/a/versions/1/infer', { version: '7' }, '/v2/models/a/versions/7/infer'],
  ['/v2/models/a/versions/1/infer', { name: 'b' }, '/v2/models/b/versions/1/infer'],
  ['/v2/models/a', { name: 'org/b c' }, '/v2/models/org%2Fb%20c'],
  ['/v2/models/a/infer', { name: 'x:8b' }, '/v2/models/x:8b/infer'],
  ['/v1/models/a:predict', { name: 'b' }, '/v1/models/b:predict'],
  ['/v1/models/a/versions/2:predict', { name: 'b' }, '/v1/models/b/versions/2:predict'],
  ['/v1/models/a/versions/2:predict', { version: '7' }, '/v1/models/a/versions/7:predict'],
  ['/v2/health/ready', { name: 'b' }, '/v2/health/ready'],
  ['/metrics', { name: 'b', version: '1' }, '/metrics'],
] as const) {
  test(`${path} for ${JSON.stringify(to)} is ${expected}`, () => assert.equal(renameModel(path, to), expected))
}

for (const [path, to] of [
  ['/v1/models/a:predict', { version: '7' }],
  ['/v1/models/a:predict', { name: 'b', version: '7' }],
] as const) {
  test(`${path} cannot ask for ${JSON.stringify(to)}`, () => {
    const result = renameModel(path, to)
    assert.equal(typeof result === 'object' && result.code, 'unsupported_translation')
  })
}

test('the protocol, by the path', () => {
  const of = (paths: string[]) => paths.map(protocolOf)
  assert.deepEqual(of(['/v1/chat/completions', '/openai/v1/models', '/v1/models', '/v1/embeddings']), ['OpenAI', 'OpenAI', 'OpenAI', 'OpenAI'])
  assert.deepEqual(of(['/v1/models/m:predict', '/v1/models/m']), ['V1', 'V1'])
  assert.deepEqual(of(['/v2', '/v2/models/m/infer', '/v2/health/live']), ['V2', 'V2', 'V2'])
  assert.deepEqual(of(['/', '/predict', '/v1', '/v2x']), ['HTTP', 'HTTP', 'HTTP', 'HTTP'])
})
