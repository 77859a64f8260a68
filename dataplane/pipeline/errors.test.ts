import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { errors, failure } from './errors.ts'
import { errorBody } from './reply.ts'

test('docs/errors.md lists every code with its status, cause and fix, and no other', () => {
  const text = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
  const rows = text.split('\n').filter((line) => line.startsWith('| `')).map((line) => line.split('|').map((cell) => cell.trim()))
  assert.deepEqual(rows.map((row) => [row[1]?.replaceAll('`', ''), Number(row[2])]),
    Object.entries(errors).map(([code, { status }]) => [code, status]))
  for (const [, code, , cause, fix] of rows) assert.ok((cause?.length ?? 0) > 20 && (fix?.length ?? 0) > 10, code)
})

test('an error is put in the terms of the caller', () => {
  const why = failure('no_endpoints', 'None is ready.')
  const body = (protocol: Parameters<typeof errorBody>[0]) => {
    const { type, body } = errorBody(protocol, why, 'id-1')
    return { type, ...JSON.parse(body) as object }
  }
  assert.deepEqual(body('OpenAI'), {
    type: 'application/json', error: { message: 'None is ready.', type: 'server_error', param: null, code: 'no_endpoints' },
  })
  assert.deepEqual(body('V2'), { type: 'application/json', error: 'None is ready.' })
  assert.deepEqual(body('V1'), body('V2'))
  const problem = JSON.parse(errorBody('HTTP', why, 'id-1').body) as Record<string, unknown>
  assert.deepEqual([problem['status'], problem['code'], problem['detail'], problem['request_id']], [503, 'no_endpoints', 'None is ready.', 'id-1'])
})
