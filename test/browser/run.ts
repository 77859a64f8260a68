import { globSync } from 'node:fs'
import { join } from 'node:path'
import { runFiles } from '../files.ts'
import { ensurePackage } from '../servers/debian.ts'

/** `npm run test:browser [FILE…]`: the pages in a real browser, Debian's Chromium, which it installs where it is missing. */

await ensurePackage('/usr/bin/chromium', 'chromium')
const asked = process.argv.slice(2)
const files = asked.length > 0 ? asked : globSync(join(import.meta.dirname, '**/*.e2e.ts')).sort()
process.exitCode = await runFiles(files, { limit: 240 }) ? 0 : 1
