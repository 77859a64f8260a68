import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { longestFirst, runFiles } from '../files.ts'

/**
 * `npm run test:redis [FILE…]`: limits against real Redis servers, which it installs where it can (Debian, as root).
 * Where there are none it says so and leaves it at that; in CI that is a failure.
 */

const there = () => spawnSync('redis-server', ['--version']).status === 0
if (!there() && process.getuid?.() === 0) {
  spawnSync('sh', ['-c', 'apt-get update -q && apt-get install -qy --no-install-recommends redis-server'], { stdio: 'inherit' })
}
if (there()) {
  const asked = process.argv.slice(2)
  const files = asked.length > 0 ? asked : globSync(join(import.meta.dirname, '*.e2e.ts')).sort()
  process.exitCode = await runFiles(longestFirst(files, ['lease', 'modes', 'exact']), { limit: 180, atOnce: 2 }) ? 0 : 1
} else {
  console.log('skipped: there is no redis-server on PATH')
  if (process.env['CI'] === 'true') process.exitCode = 1
}
