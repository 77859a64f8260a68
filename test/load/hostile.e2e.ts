// A hundred thousand bodies, most of them broken somewhere, in every protocol, through every feature that looks into bodies.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { templates } from '../hostile/bodies.ts'
import { attack, startRig } from '../hostile/rig.ts'

/** The numbers that everything is drawn from: what fails once fails again. */
for (const seed of [1, 2, 3, 4, 5]) {
  test(`20,000 malformed bodies leave the proxy as it was (seed ${seed})`, async (t) => {
    const rig = await startRig(t, seed)
    const { statuses, bugs, changed } = await attack(rig, 20_000, seed * 1_000_000)
    t.diagnostic(JSON.stringify(Object.fromEntries(statuses)))
    assert.deepEqual([bugs, changed], [[], []])
    for (const { grpc, ...template } of templates) assert.notEqual(await rig.ask({ ...template, rule: 'looked', grpc: grpc === true }), 'broken')
  })
}
