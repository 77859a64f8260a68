// The release before this one, as its commit has it: chart, definitions and programs, with the packages that its own lock
// file names. What upgrades come from, and rollbacks go back to.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder } from '../cache-folder.ts'

const run = promisify(execFile)
const repository = join(import.meta.dirname, '../..')

export const previous = { version: '0.1.0', commit: '710676bef2dd15ffeb34199e14e3a292e4214153' } as const

/** The folder that it is in. Made once, from this clone's history and the package registry; kept in the cache. */
export async function previousRelease(): Promise<string> {
  const { version, commit } = previous
  const folder = join(cacheFolder, `release-${version}-${commit.slice(0, 12)}`)
  if (existsSync(folder)) return folder
  await known(commit)
  // Built beside its place and renamed into it: a folder that exists is whole.
  const part = `${folder}.part-${process.pid}`
  await mkdir(part, { recursive: true })
  process.stderr.write(`installing release ${version} (once; kept in ${folder})\n`)
  await run('sh', ['-c', 'git -c safe.directory="$1" -C "$1" archive "$2" | tar -x -C "$3"', 'sh', repository, commit, part])
  if (!existsSync(join(part, 'charts/modelroute/Chart.yaml'))) throw new Error(`git archive ${commit} brought no chart`)
  await run('npm', ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: part, timeout: 600_000 })
  await rename(part, folder).catch(async (error: unknown) => {
    if (!existsSync(folder)) throw error
    await rm(part, { recursive: true })
  })
  return folder
}

/** A shallow clone lacks it, and asks where it came from. */
async function known(commit: string): Promise<void> {
  const git = (...args: string[]) => run('git', ['-c', `safe.directory=${repository}`, '-C', repository, ...args], { timeout: 120_000 })
  try {
    await git('cat-file', '-e', `${commit}^{commit}`)
  } catch {
    await git('fetch', '--depth=1', 'origin', commit).catch((error: Error) => {
      throw new Error(`commit ${commit}, release ${previous.version}, is not in this clone: fetch its history\n${error.message}`)
    })
  }
}
