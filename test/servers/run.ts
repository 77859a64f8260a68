import { globSync } from 'node:fs'
import { join } from 'node:path'
import { longestFirst, runFiles } from '../files.ts'
import { cannotRun, ensureVenv, venvNames } from './venv.ts'

/**
 * `npm run test:servers [FILE…]`: the tests against real model servers. Installs them first, so that no test's time
 * goes into it. Where they cannot be had it says why and leaves it at that; in CI that is a failure.
 */

/** Of Triton's Python backend, whose processes meet in shared memory; the whole server ends with it (its issue 8882). */
const notOurs = /tritonserver ended by itself \(SIGABRT\)(?=[^]*boost::interprocess::lock_exception)/

const why = await cannotRun()
if (why !== false) {
  console.log(`skipped: ${why}`)
} else {
  for (const name of venvNames) await ensureVenv(name)
  const asked = process.argv.slice(2)
  const files = asked.length > 0 ? asked : globSync(join(import.meta.dirname, '**/*.e2e.ts')).sort()
  process.exitCode = await runFiles(longestFirst(files, ['http-cache', 'semantic', 'tensors', 'clients', 'transcripts']), { limit: 400, atOnce: 2, notOurs }) ? 0 : 1
}
