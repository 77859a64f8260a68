import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'

/** `npm run test:load [FILE…]`: what only shows under load. Takes minutes; needs nothing but this repository. */

const asked = process.argv.slice(2)
const files = asked.length > 0 ? asked : globSync(join(import.meta.dirname, '**/*.e2e.ts')).sort()
const node = spawn(process.execPath, ['--test', '--test-concurrency=1', '--test-timeout=240000', ...files], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => node.kill(signal))
node.on('exit', (code) => {
  process.exitCode = code ?? 1
})
