import { execFile } from 'node:child_process'
import { chmodSync, globSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { buildPackage } from './package.ts'

/**
 * `npm run build:image`: what the image has beyond its base, as it lies in the image: dist/image. The Dockerfile copies this
 * folder and adds nothing, so that what a test finds in it is what is shipped. The same for every platform.
 */

/** Where the base image has Node; it has no shell and no `env` to look for it. */
const node = '/nodejs/bin/node'
const home = 'opt/modelroute'
const command = 'usr/local/bin/modelroute'

/** What libraries bring and no program reads. Licences stay. */
const unread = [
  '**/*.{ts,mts,cts,map,md,markdown,bare}', '**/@types', '**/{test,tests,__tests__,bench}', '**/*.{test,spec}.{js,cjs,mjs}', '**/tsconfig*.json', '**/.*',
]

export async function buildImage(folder = join(import.meta.dirname, '../dist/image')): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  const app = join(folder, home)
  await buildPackage(app)
  await promisify(execFile)('npm', ['ci', '--omit=dev', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'], { cwd: app })
  const libraries = join(app, 'node_modules')
  for (const path of globSync(unread, { cwd: libraries })) rmSync(join(libraries, path), { recursive: true, force: true })
  rmSync(join(libraries, '.bin'), { recursive: true, force: true })
  const bin = join(app, 'cli/modelroute.js')
  writeFileSync(bin, readFileSync(bin, 'utf8').replace(/^#!.*/, `#!${node}`))
  mkdirSync(join(folder, command, '..'), { recursive: true })
  symlinkSync(`/${home}/cli/modelroute.js`, join(folder, command))
  onlyReadable(folder, bin)
}

/** Everybody may read, nobody but root may write, whatever the archives of the libraries and the umask said. */
function onlyReadable(path: string, program: string): void {
  const found = lstatSync(path)
  if (found.isSymbolicLink()) return
  chmodSync(path, found.isDirectory() || path === program ? 0o755 : 0o644)
  if (found.isDirectory()) for (const name of readdirSync(path)) onlyReadable(join(path, name), program)
}

if (import.meta.main) await buildImage()
