import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { KeptFile } from './files-kept.ts'

test('what is kept just as the last write ends is written too', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-kept-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (let turns = 0; turns < 8; turns++) {
    const path = join(folder, `${turns}.json`)
    const file = new KeptFile(path, 'numbers', () => {})
    await new Promise<void>((resolve) => {
      file.keep(() => ({ n: 1 }), () => {
        // So many turns of the queue of promises later: one of them is between the end of the write and who waits for it.
        let later = Promise.resolve()
        for (let n = 0; n < turns; n++) later = later.then(() => {})
        void later.then(() => file.keep(() => ({ n: 2 }), resolve))
      })
    })
    assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), { n: 2 })
  }
})
