import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Shared } from './shared.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

test('what is shared is made once, and let go when nobody holds it', async () => {
  const shared = new Shared<{ name: string }>()
  let made = 0
  const make = (name: string) => shared.get(name, () => {
    made++
    return { name }
  })
  const held = make('held')
  for (let i = 0; i < 100; i++) make(`dropped-${i}`)
  assert.equal(make('held'), held)
  assert.equal(made, 101)
  // What was made in this turn is kept to its end.
  for (let i = 0; shared.size > 1; i++) {
    assert.ok(i < 1000, `${shared.size} are kept`)
    await new Promise(setImmediate)
    collect()
  }
  assert.equal(make('held'), held)
  assert.equal(held.name, 'held')
})
