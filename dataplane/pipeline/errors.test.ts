import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failure } from './errors.ts'
import { errorBody } from './reply.ts'

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
