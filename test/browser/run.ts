import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { ensurePackage } from '../servers/debian.ts'

/** `npm run test:browser [FILE…]`: the pages in a real browser, Debian's Chromium, which it installs where it is missing. */

await ensurePackage('/usr/bin/chromium', 'chromium')
const asked = process.argv.slice(2)
const files = asked.length > 0 ? asked : globSync(join(import.meta.dirname, '**/*.e2e.ts')).sort()
const node = spawn(process.execPath, ['--test', '--test-concurrency=1', '--test-timeout=120000', ...files], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => node.kill(signal))
node.on('exit', (code) => {
  process.exitCode = code ?? 1
})
