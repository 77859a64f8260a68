import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { longestFirst, runFiles } from '../files.ts'

/**
 * `npm run test:load [FILE…]`: what only shows under load. Takes minutes; needs nothing but this repository. With
 * `counted` or `timed` in place of files only those: what does not look at the clock goes two at a time, and what does
 * has the machine for itself.
 */

const counted = ['cache', 'killed-endpoints', 'cache-memory', 'properties', 'hostile', 'rolling', 'hostile-bodies', 'audit', 'kill', 'ledger', 'ledger-sums']

const asked = process.argv.slice(2)
const kinds = asked.filter((word) => word === 'counted' || word === 'timed')
const named = asked.filter((word) => word !== 'counted' && word !== 'timed')
const files = named.length > 0 ? named : globSync(join(import.meta.dirname, '**/*.e2e.ts')).sort()
const isCounted = (file: string) => counted.includes(basename(file, '.e2e.ts'))
let well = true
if (!kinds.includes('timed') || kinds.includes('counted')) well = await runFiles(longestFirst(files.filter(isCounted), counted), { limit: 600, atOnce: 2 })
if (!kinds.includes('counted') || kinds.includes('timed')) well = await runFiles(files.filter((file) => !isCounted(file)), { limit: 420, timed: true }) && well
process.exitCode = well ? 0 : 1
