import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { startServing } from '../cli/serve.ts'
import './steady.ts'

type State = Readonly<{ table: { routes: number }; traffic: { total: number } }>

test('the proxy of a controller in the same process tells who looks at the fleet', async (t) => {
  const served = await startServing({
    filename: [join(import.meta.dirname, '../examples/quickstart')], host: '127.0.0.1', httpPort: 0, adminHost: '127.0.0.1', adminPort: 0, controlPort: 0,
    drainDelay: 0, drainTimeout: 1000, logLevel: 'error',
  })
  t.after(() => served.end())
  await served.started
  const state = await (await fetch(`${served.control}/console/state`)).json() as State
  assert.deepEqual([state.table.routes, state.traffic.total], [1, 1])
})
