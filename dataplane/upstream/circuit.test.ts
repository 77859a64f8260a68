import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Circuit } from './circuit.ts'

test('an open circuit lets nobody through, and then one at a time', () => {
  const circuit = new Circuit()
  assert.equal(circuit.enter(0), 'pass')
  circuit.open(10_000)
  assert.deepEqual([circuit.state(9999), circuit.enter(9999), circuit.wait(9000)], ['open', 'refuse', 1000])
  assert.deepEqual([circuit.state(10_000), circuit.enter(10_000), circuit.enter(10_000)], ['half-open', 'trial', 'refuse'])
})

test('what comes of the one that tries decides; of one that says nothing, the next tries', () => {
  const circuit = new Circuit()
  circuit.open(10)
  assert.equal(circuit.enter(10), 'trial')
  circuit.giveUp()
  assert.equal(circuit.enter(11), 'trial')
  circuit.open(20)
  assert.equal(circuit.enter(19), 'refuse')
  assert.equal(circuit.enter(20), 'trial')
  circuit.close()
  assert.deepEqual([circuit.enter(21), circuit.state(21)], ['pass', 'closed'])
})
