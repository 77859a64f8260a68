import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

/** The properties that `npm test` tries with few values, with many. */

const root = join(import.meta.dirname, '../..')
const files = globSync('{cli,console,controller,crds,dataplane,exposition,outgoing,table,test}/**/*.test.ts', { cwd: root })
  .filter((file) => /from '.*\/runs\.ts'/.test(readFileSync(join(root, file), 'utf8')))
  .sort()

// A runner below a runner would take itself for a part of it, and run nothing.
const { NODE_TEST_CONTEXT: _, ...env } = process.env

test('there are properties to try at length', () => assert.ok(files.includes(join('test', 'mutants.test.ts'))))

for (const file of files) {
  test(`${file}, at length`, async () => {
    const child = spawn(process.execPath, ['--test', '--test-reporter=tap', file], {
      cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: { ...env, MODELROUTE_TEST_RUNS: 'long' },
    })
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    const [code] = await once(child, 'close')
    assert.equal(code, 0, text)
    assert.match(text, /^# pass [1-9]/m)
  })
}
