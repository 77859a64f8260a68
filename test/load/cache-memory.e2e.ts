// What a cache takes over a million answers: memory stays where it was put.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const million = 1_000_000
const run = promisify(execFile)

// Of the large ones fewer make room many times over.
for (const { count, max, bytes, headers } of [{ count: million, max: 64, bytes: 600, headers: 3 }, { count: million, max: 16, bytes: 20, headers: 1 }, { count: 600_000, max: 256, bytes: 4000, headers: 8 }]) {
  test(`${count} distinct answers of ${bytes} bytes take what maxBytes allows, and not a tenth more or less`, { timeout: 900_000 }, async (t) => {
    const program = join(import.meta.dirname, 'fixtures/cache-memory.ts')
    const { stdout } = await run(process.execPath, ['--expose-gc', program, String(max * 2 ** 20), String(count), String(bytes), String(headers)], { maxBuffer: 2 ** 20 })
    const { looks, entries, evicted } = JSON.parse(stdout) as { entries: number; evicted: number; looks: { counted: number; took: number }[] }
    const shares = looks.map(({ took }) => took / (max * 2 ** 20))
    t.diagnostic(`${entries} kept, ${evicted} made room; of ${max} MiB: ${shares.map((share) => share.toFixed(3)).join(', ')}`)
    assert.ok(evicted > count)
    for (const share of shares) assert.ok(share > 0.9 && share < 1.1, shares.join())
  })
}
