import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { cannotRun, ensureVenv, venvNames } from './venv.ts'

/**
 * `npm run test:servers [FILE…]`: the tests against real model servers. Installs them first, so that no test's time
 * goes into it. Where they cannot be had it says why and leaves it at that; in CI that is a failure.
 */

const why = await cannotRun()
if (why !== false) {
  console.log(`skipped: ${why}`)
} else {
  for (const name of venvNames) await ensureVenv(name)
  const asked = process.argv.slice(2)
  const files = asked.length > 0 ? asked : globSync(join(import.meta.dirname, '**/*.e2e.ts')).sort()
  const node = spawn(process.execPath, ['--test', '--test-concurrency=1', '--test-timeout=180000', ...files], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => node.kill(signal))
  node.on('exit', (code) => {
    process.exitCode = code ?? 1
  })
}
