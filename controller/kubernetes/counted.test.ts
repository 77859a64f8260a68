import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pathOf, type Api } from './api.ts'
import { counted, resourceOf, type CallRecord } from './counted.ts'
import { CONTROLLER_REVISIONS, SECRETS } from './kinds.ts'

test('the resource of a path is its kind, never a name', () => {
  const paths = [pathOf(SECRETS, 'ml', 'key'), pathOf(SECRETS), pathOf(CONTROLLER_REVISIONS, 'secrets', 'x', 'status'), pathOf(CONTROLLER_REVISIONS)]
  assert.deepEqual(paths.map(resourceOf), ['secrets', 'secrets', 'controllerrevisions', 'controllerrevisions'])
})

test('calls and watches are told once they are over, also those without an answer', async () => {
  const told: CallRecord[] = []
  const answer = { status: 409, body: undefined, message: '' }
  const api: Api = { namespace: 'x', close() {}, call: () => Promise.resolve(answer), stream: () => Promise.resolve({ ...answer, status: 0 }) }
  const over = counted(api, (call) => told.push(call))
  assert.equal(await over.call({ method: 'PATCH', path: pathOf(SECRETS, 'ml', 'key') }), answer)
  await over.stream({ path: pathOf(SECRETS) }, () => {})
  assert.deepEqual(told.map(({ verb, resource, code }) => [verb, resource, code]), [['patch', 'secrets', 409], ['watch', 'secrets', 0]])
})
