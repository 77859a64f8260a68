import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Lane } from './lane.ts'

const PATIENCE = 25

/** A lane on a clock of its own. `late`: by how much every look comes too late. */
function laneOf(t: TestContext, { late = 0, turns = 1, patience = PATIENCE } = {}) {
  t.mock.timers.enable({ apis: ['setInterval', 'setImmediate'] })
  let clock = 1000
  const said: string[] = []
  const lane = new Lane({ trip: (why) => said.push(why), patience, now: () => clock, turns: () => turns })
  /** Lets time pass until it holds or is over. @returns how long it took */
  const pass = (ms: number, holds = () => false) => {
    const began = clock
    while (clock - began < ms && !holds()) {
      clock += 4 + late
      t.mock.timers.tick(4)
    }
    return clock - began
  }
  return { lane, said, pass }
}

test('a server that says nothing is given up within the patience, before whoever waits is told', (t) => {
  const { lane, said, pass } = laneOf(t)
  let told = 0
  const tell = () => (told += said.length)
  for (let i = 0; i < 2; i++) lane.add(tell)
  assert.ok(pass(1000, () => told > 0) <= PATIENCE)
  assert.deepEqual([said, told, lane.open], [['it does not answer'], 2, true])
  lane.add(tell)
  assert.equal(lane.open, true, 'until the store opens it')
  lane.close()
})

test('the patience is what the URL says', (t) => {
  const { lane, said, pass } = laneOf(t, { patience: 1000 })
  lane.add(() => {})
  assert.ok(pass(500) >= 500 && said.length === 0)
  assert.ok(pass(1000, () => said.length > 0) <= 500)
})

test('a server that answers others, and one question never, is too slow', (t) => {
  const { lane, said, pass } = laneOf(t)
  lane.add(() => {})
  const took = pass(1000, () => {
    lane.remove(lane.add(() => {}), true)
    return said.length > 0
  })
  assert.deepEqual(said, ['it answers too late'])
  assert.ok(took > 2 * PATIENCE && took <= 3 * PATIENCE, `${took} ms`)
})

test('a process that is late itself waits longer, but never more than ten times the patience', (t) => {
  const { lane, said, pass } = laneOf(t, { late: 20 })
  lane.add(() => {})
  assert.ok(pass(9 * PATIENCE) >= 9 * PATIENCE)
  assert.deepEqual(said, [])
  assert.ok(pass(1000, () => said.length > 0) <= PATIENCE + 2 * 24)
  assert.deepEqual(said, ['it answers too late'])
})

test('where a fifth of those that want to run do, a server has five times as long', (t) => {
  const { lane, said, pass } = laneOf(t, { turns: 0.2 })
  lane.add(() => {})
  const took = pass(1000, () => said.length > 0)
  assert.ok(took > 2 * PATIENCE && took <= 5 * PATIENCE, `${took} ms`)
})

test('nothing is looked at where nobody waits, and an answer ends the silence', (t) => {
  const { lane, said, pass } = laneOf(t)
  for (let i = 0; i < 10; i++) {
    const waiting = lane.add(() => {})
    pass(12)
    lane.remove(waiting, true)
  }
  pass(100)
  lane.add(() => {})
  pass(12)
  assert.deepEqual(said, [])
  lane.close()
})
