import { createInterface } from 'node:readline'
import { active, match, route, rule, variant } from '../../test/dataplane/table.ts'
import type { Rule } from '../../table/route.ts'
import { serveTable } from '../table-proxy.ts'

/** `BACKEND DESCRIBING`: a proxy with one rule for each thing that is done with bodies; the second backend says what its model takes. */
const [backend = '', describing = ''] = process.argv.slice(2)

const tensor = {
  type: 'object', required: ['name', 'datatype', 'shape', 'data'],
  properties: { name: { type: 'string', pattern: '^[a-z_]+$' }, datatype: { enum: ['FP32', 'FP64'] }, shape: { type: 'array', items: { type: 'integer' } }, data: { type: 'array', items: { type: 'number' } } },
}
const schema = { type: 'object', required: ['inputs'], properties: { inputs: { type: 'array', minItems: 1, items: tensor }, pad: { type: 'string', maxLength: 2000 } }, additionalProperties: false }
const ofModel = { variants: [variant('stable', 'ml/d:80')] }
const rules: readonly Partial<Rule>[] = [
  { name: 'open' },
  { name: 'schema', validation: { request: { source: 'Schema', schema } } },
  { name: 'remove', transform: { request: { body: { remove: ['/ssn', '/inputs/*/ssn'], set: [] } } } },
  { name: 'set', transform: { request: { body: { remove: [], set: [{ pointer: '/parameters/region', value: '"eu"' }] } } } },
  { name: 'all', validation: { request: { source: 'Schema', schema } }, transform: { request: { body: { remove: ['/inputs/*/ssn'], set: [{ pointer: '/parameters/region', value: '"eu"' }] } } } },
  { name: 'beside', ...ofModel },
  { name: 'model', ...ofModel, validation: { request: { source: 'ModelMetadata' } } },
]
const named = rules.map((one) => rule({ ...one, matches: [{ ...match('/'), headers: [{ type: 'Exact', name: 'x-rule', value: one.name ?? '' }] }] }))
await serveTable(active('1', [route({ rules: named })], { 'ml/s:80': [Number(backend)], 'ml/d:80': [Number(describing)] }))

/** Microseconds of processor time that the thread which answers requests has had: what others take of the processor is not its fault. */
const used = () => {
  const { user, system } = process.threadCpuUsage()
  return user + system
}
let longest = 0
let last = used()
function turn(): void {
  const now = used()
  longest = Math.max(longest, now - last)
  last = now
  setImmediate(turn)
}
let watching = false
/** Asked by a line, it says how long the longest turn of the event loop was since the last. */
createInterface({ input: process.stdin }).on('line', () => {
  if (!watching) turn()
  watching = true
  console.log(JSON.stringify({ turn: longest / 1000 }))
  longest = 0
}).on('close', () => process.exit())
