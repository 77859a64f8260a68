import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import type { Sums } from './fixtures/ledger-sums.ts'

const requests = Number(process.env['MODELROUTE_TEST_REQUESTS'] ?? 100_000)
const run = promisify(execFile)

type Told = Readonly<{ ledger: Sums; log: Sums; metrics: Pick<Sums, 'by' | 'caches' | 'joined'> }>

const outcomesOf = ({ by }: Pick<Sums, 'by'>) => Object.fromEntries(Object.entries(by).map(([where, { outcomes }]) => [where, outcomes]))

test('ledger, metrics and log have the same numbers after requests of all sorts', { timeout: 540_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const half = requests / 2
  // In two processes: one has one core. The log of the first is its ledger too.
  await Promise.all(['stdout', join(folder, 'usage.jsonl')].map(async (to) => {
    const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'fixtures/ledger-requests.ts'), String(half), to])
    const { ledger, log, metrics } = JSON.parse(stdout) as Told
    assert.deepEqual([ledger.lines, ledger.ids, ledger.requests, log.lines, log.requests], Array(5).fill(half), to)
    assert.deepEqual(ledger.by, metrics.by, to)
    assert.deepEqual(outcomesOf(log), outcomesOf(ledger), to)
    assert.deepEqual([log.caches, log.joined], [metrics.caches, metrics.joined], to)
    // Of all that can happen something did.
    const all = Object.entries(ledger.by)
    const said = JSON.stringify(ledger.by)
    for (const outcome of ['client_closed', '"400 ', '"404 ', '"503 ', '"502 ', '"200 "']) assert.ok(said.includes(outcome), `${outcome}: ${said}`)
    for (const [where, what] of [['ml/chat', 'output'], ['ml/kept', 'input'], ['ml/fraud', 'rows'], ['ml/joined', 'rows'], ['ml/graph', 'outcomes']] as const) {
      assert.ok(all.some(([key, sum]) => key.startsWith(where) && (what === 'outcomes' || (sum[what] > 0 && sum.cost > 0))), `${where}: ${said}`)
    }
    for (const key of ['hit', 'miss']) assert.ok((log.caches[key] ?? 0) > 0, JSON.stringify(log.caches))
    for (const key of ['joined', 'alone']) assert.ok((log.joined[key] ?? 0) > 0, JSON.stringify(log.joined))
  }))
})
