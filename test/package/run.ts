import { globSync } from 'node:fs'
import { join } from 'node:path'
import { runFiles } from '../files.ts'

/**
 * `npm run test:package [FILE…]`: the package as it would be published, installed into an empty folder and used there, and
 * the workflows that publish it. Needs the registry that `npm ci` needs, and Go.
 */

const asked = process.argv.slice(2)
const files = asked.length > 0 ? asked : globSync(join(import.meta.dirname, '*.e2e.ts')).sort()
process.exitCode = await runFiles(files, { limit: 300 }) ? 0 : 1
