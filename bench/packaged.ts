import { spawnSync } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const here = join(import.meta.dirname, '..')

/** Builds the package of a checkout in a folder, with the checkout's libraries: what is measured is what is shipped. Its program. */
export function packaged(folder: string, checkout = here): string {
  const build = `import { buildPackage } from ${JSON.stringify(pathToFileURL(join(checkout, 'build/package.ts')))}; await buildPackage(${JSON.stringify(folder)})`
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', build], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  symlinkSync(join(checkout, 'node_modules'), join(folder, 'node_modules'))
  return join(folder, 'cli/modelroute.js')
}
