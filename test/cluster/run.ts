// Runs cluster tests: `node test/cluster/run.ts [files…] [-- arguments for node --test]`, by default every *.e2e.ts
// beside this file. Each file gets namespaces of its own (network, mounts, processes), so that it can have addresses of
// its own and nothing it starts outlives it. Needs Linux, root, and Go for the first build; says what is missing and
// skips. In CI (CI=true) a test that was skipped is a failure.
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, join, relative, resolve } from 'node:path'
import { longestFirst, namingWhatHangs, runFiles, type FilesOptions } from '../files.ts'
import { ensureBinaries } from './build.ts'
import { certManager, chartTools, kustomize, prometheusAdapter } from './chart/tools.ts'
import { ensurePrometheus } from '../servers/prometheus.ts'
import { inNamespace } from './netns.ts'
import { previousRelease } from './previous.ts'
import { temporaryFolder } from './process.ts'

/** Seconds for one file. */
const limit = 300
/** What these hold includes how fast it is, or that nothing fails meanwhile: they have the machine for themselves. */
const timed = ['spine', 'delivery', 'upgrade']
const totals = { tests: 0, pass: 0, fail: 0, skipped: 0 }

async function run(files: readonly string[], extra: readonly string[]): Promise<number> {
  const impossible = await whyNot(files)
  if (impossible) {
    process.stdout.write(`skipped: the cluster tests (${impossible})\n`)
    return process.env.CI === 'true' ? 1 : 0
  }
  const folder = temporaryFolder('cluster-run')
  const failed: string[] = []
  const counts = (file: string) => join(folder, `${files.indexOf(file)}.tap`)
  const how: FilesOptions = {
    limit,
    command(file) {
      const reporters = [
        '--test-reporter=spec', '--test-reporter-destination=stdout',
        '--test-reporter=tap', `--test-reporter-destination=${counts(file)}`,
      ]
      return inNamespace([process.execPath, '--test', namingWhatHangs(limit), '--test-force-exit', ...reporters, ...extra, file])
    },
    ended(file, code) {
      const counted = count(counts(file))
      if (code !== 0 || !counted) failed.push(file)
      return code === 0 && counted
    },
  }
  const isTimed = (file: string) => timed.includes(basename(file, '.e2e.ts'))
  const alone = await runFiles(files.filter(isTimed), { ...how, timed: true })
  const beside = await runFiles(longestFirst(files.filter((file) => !isTimed(file)), ['rollout', 'restore', 'ha', 'commands', 'kubernetes', 'install', 'chart', 'secrets']), { ...how, atOnce: 2 })
  const { tests, pass, fail, skipped } = totals
  const sums = `${pass} passed, ${fail} failed, ${skipped} skipped`
  process.stdout.write(`\ncluster tests: ${tests} in ${files.length} files, ${sums}\n`)
  for (const file of failed) process.stdout.write(`failed: ${relative('.', file)}\n`)
  if (skipped > 0 && process.env.CI === 'true') process.stdout.write('a skipped test is a failure in CI\n')
  return !alone || !beside || (skipped > 0 && process.env.CI === 'true') ? 1 : 0
}

/** Adds a file's totals; false where it ran no test at all, which is never what was meant. */
function count(file: string): boolean {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  const of = (name: string) => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
  for (const name of ['tests', 'pass', 'fail'] as const) totals[name] += of(name)
  // The summary does not count a suite that was skipped whole.
  totals.skipped += text.match(/^\s*ok \d+ .*# SKIP/gm)?.length ?? 0
  return of('tests') > 0
}

async function whyNot(files: readonly string[]): Promise<string | undefined> {
  const [command, ...args] = inNamespace(['mount', '-t', 'tmpfs', 'tmpfs', '/mnt'])
  const tried = spawnSync(command, args, { encoding: 'utf8' })
  if (tried.error) return `no namespaces here: ${tried.error.message}`
  if (tried.status !== 0) return `no namespaces here, which needs root on Linux: ${tried.stderr.trim()}`
  const binaries = await ensureBinaries().catch((error: Error) => ({ missing: error.message }))
  if ('missing' in binaries) return binaries.missing
  // Inside there is no network to fetch anything from.
  if (files.some((file) => basename(file).startsWith('chart'))) await chartTools()
  if (files.some((file) => basename(file).startsWith('upgrade'))) await previousRelease()
  if (files.some((file) => basename(file).startsWith('sidecar'))) await Promise.all([kustomize(), certManager()])
  if (files.some((file) => basename(file).startsWith('adapter'))) await Promise.all([prometheusAdapter(), ensurePrometheus()])
  return undefined
}

const words = process.argv.slice(2)
const split = words.includes('--') ? words.indexOf('--') : words.length
const named = words.slice(0, split).map((file) => resolve(file))
const files = named.length > 0 ? named : globSync(join(import.meta.dirname, '**/*.e2e.ts')).sort()
process.exitCode = await run(files, words.slice(split + 1))
