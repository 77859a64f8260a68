import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { readManifests } from '../sources/files.ts'
import { createCompiler } from './compile.ts'

test('a schema in a ConfigMap is followed; where it becomes wrong, that is told, and the last good one stays in force', async () => {
  const { snapshot } = await readManifests([join(import.meta.dirname, '../../examples/validation/schema.yaml')])
  const compile = createCompiler({ allowUrls: [], allowLoopback: true, allowUnmanagedEndpointSlices: true })
  const map = snapshot.configMaps.get('ml/fraud-schemas')
  assert.ok(map)
  const compiledWith = (text: string) => {
    const data = new Map([['answer.json', Buffer.from(text).toString('base64')]])
    const { fleets, routes } = compile({ ...snapshot, configMaps: new Map([['ml/fraud-schemas', { ...map, data }]]) })
    return { rule: fleets.get('default')?.routes.get('ml/fraud')?.rules[0]?.validation?.response, told: routes.get('ml/fraud')?.problems.filter(({ field }) => field.includes('validation')).map(({ message }) => message) }
  }
  const first = { source: 'Schema', schema: { type: 'object' }, reject: true }
  assert.deepEqual(compiledWith('{"type":"object"}'), { rule: first, told: [] })
  const second = { source: 'Schema', schema: { type: 'object', required: ['b'] }, reject: true }
  assert.deepEqual(compiledWith('{"type":"object","required":["b"]}'), { rule: second, told: [] })
  // The last good version of a rule has the schema that was in force with it.
  const { rule, told } = compiledWith('{"type":"object","require":["b"]}')
  assert.deepEqual(rule, second)
  assert.ok(told?.includes('"answer.json" of ConfigMap ml/fraud-schemas, at "require", is no keyword that is checked here'), String(told))
})
