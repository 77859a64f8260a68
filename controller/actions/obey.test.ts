import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { ModelRoute } from '../../crds/types.gen.ts'
import type { RouteOutcome } from '../compile/compiled.ts'
import type { News } from '../rollout/machine.ts'
import type { RolloutRequest } from '../rollout/page.ts'
import type { Resource } from '../sources/snapshot.ts'
import type { Actor } from './access.ts'
import { createObey, type ObeyDeps } from './obey.ts'

const jane: Actor = { name: 'jane', from: '127.0.0.1', token: 'janes' }
const request = (more: Partial<RolloutRequest> = {}): RolloutRequest => ({ namespace: 'ml', route: 'fraud', rule: 'infer', action: 'promote', ...more })
const resource = { namespace: 'ml', name: 'fraud', uid: 'u', generation: 1 } as unknown as Resource<ModelRoute>
const outcome = { rules: [{ name: 'infer' }, { name: 'other' }], deliveries: [{ name: 'infer', specHash: 'abc' }] } as unknown as RouteOutcome

function obeying(mode: Partial<ObeyDeps['mode']> = {}) {
  const done: unknown[] = []
  const told: News[] = []
  const lines: Readonly<Record<string, unknown>>[] = []
  const obey = createObey({
    route: (key) => (key === 'ml/fraud' ? { resource, outcome } : { resource: undefined, outcome: undefined }),
    mode: { leading: () => true, reweigh: (...asked) => Promise.resolve(void done.push(['reweigh', ...asked.slice(1)])), ...mode },
    rollouts: { command: (key, rule, { action }) => Promise.resolve(void done.push([key, rule, action])), states: () => undefined },
    tell: (_, __, news) => void told.push(news),
    log: (_, msg, fields = {}) => void lines.push({ msg, ...fields }),
  })
  return { obey, done, told, lines }
}

suite('a command', () => {
  test('is obeyed, told as an event, and logged with whose it was', async () => {
    const { obey, done, told, lines } = obeying()
    assert.ok('rule' in await obey(request(), jane))
    assert.deepEqual(done, [['ml/fraud', 'infer', 'promote']])
    assert.deepEqual(told.map(({ reason, message }) => [reason, message]), [['RolloutCommand', 'promote by jane from 127.0.0.1']])
    assert.deepEqual(lines, [{ msg: 'command obeyed', by: 'jane', from: '127.0.0.1', route: 'ml/fraud', rule: 'infer', action: 'promote' }])
  })

  test('of somebody who may not is refused before anything of the route is told, and logged', async () => {
    const { obey, done, told, lines } = obeying()
    const may: Actor['may'] = (namespace) => Promise.resolve({ status: 403, error: `not in ${namespace}` })
    assert.deepEqual(await obey(request({ route: 'nobody-knows' }), { ...jane, may }), { status: 403, refused: 'not in ml' })
    assert.deepEqual([done, told, lines.map(({ msg, status }) => [msg, status])], [[], [], [['command refused', 403]]])
  })

  test('at a controller that does not lead goes on to the one that does, as its giver', async () => {
    const given: unknown[] = []
    const passOn: ObeyDeps['mode']['passOn'] = (_, rule, text, token) => Promise.resolve(void given.push([rule, text, token]))
    const { obey, done } = obeying({ leading: () => false, passOn })
    await obey(request(), jane)
    await obey(request({ action: 'undo', revision: 3, specHash: 'seen' }), jane)
    assert.deepEqual(given, [['infer', 'promote@abc', 'janes'], ['infer', 'undo:3@seen', 'janes']])
    const { token: _token, ...nobody } = jane
    assert.deepEqual([done, (await obey(request(), nobody) as { status: number }).status], [[], 503])
  })

  test('to set weights is for the version that its giver saw', async () => {
    const { obey, done, told } = obeying()
    const weights = [{ variant: 'stable', weight: 90 }]
    assert.equal((await obey(request({ action: 'set-weight', weights, specHash: 'old' }), jane) as { status: number }).status, 409)
    assert.ok('rule' in await obey(request({ action: 'set-weight', weights, specHash: 'abc' }), jane))
    assert.deepEqual(done, [['reweigh', 'infer', weights, 'janes']])
    assert.equal(told[0]?.message, 'set-weight stable=90 by jane from 127.0.0.1')
  })

  test('for a rule that is not said where there are several, or not there, is refused', async () => {
    const { obey } = obeying()
    const { rule: _rule, ...unsaid } = request()
    assert.deepEqual(await obey(unsaid, jane), { status: 404, refused: 'which rule of ml/fraud? There are infer, other' })
    assert.equal((await obey(request({ route: 'gone' }), jane) as { status: number }).status, 404)
  })
})
