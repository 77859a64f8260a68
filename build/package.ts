import { execFile } from 'node:child_process'
import { chmodSync, cpSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bundle } from './bundle.ts'
import { assets, type Lock, type Manifest, packageManifest, shrinkwrap } from './manifest.ts'

/**
 * `npm run build`: the npm package, as a folder to pack, to publish or to run: dist/package. What is loaded by its path keeps its
 * place, and the rest is bundled; libraries are not. No source maps: they would be half of the package, and a line of a stack trace can be
 * found again by building the same version.
 */

const config = 'tsconfig.package.json'
/** A program of its own, which is changed to try things out. */
const stays = (path: string) => path.startsWith('/examples/')

const root = join(import.meta.dirname, '..')

const json = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'))

async function compile(config: string, folder: string): Promise<void> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  await promisify(execFile)(process.execPath, [tsc, '-p', join(import.meta.dirname, config), '--outDir', folder]).catch((error: Error & { stdout?: string }) => {
    throw new Error(error.stdout || error.message)
  })
}

export async function buildPackage(folder = join(root, 'dist/package')): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  await Promise.all([compile(config, folder), compile('tsconfig.types.json', folder)])
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it is ours
  const { files } = json(join('build', config)) as { files: readonly string[] }
  await bundle(folder, { starts: files.map((path) => path.replace(/^\.\.(.*)\.ts$/, '$1.js')), stays })
  // Not every compiler looks for `x.d.ts` where a declaration imports `x.ts`.
  for (const path of globSync('**/*.d.ts', { cwd: folder })) {
    const file = join(folder, path)
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll(/(from '\.[^']*)\.ts'/g, "$1.js'"))
  }
  for (const [place, names] of Object.entries(assets)) {
    mkdirSync(join(folder, place), { recursive: true })
    for (const name of readdirSync(join(root, place)).filter((each) => names.test(each))) {
      cpSync(join(root, place, name), join(folder, place, name))
    }
  }
  chmodSync(join(folder, 'cli/modelroute.js'), 0o755)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- npm keeps both in that form
  const [manifest, lock] = [json('package.json') as Manifest, json('package-lock.json') as Lock]
  const folders = readdirSync(folder).filter((name) => statSync(join(folder, name)).isDirectory())
  const write = (name: string, content: unknown) => writeFileSync(join(folder, name), `${JSON.stringify(content, null, 2)}\n`)
  write('package.json', packageManifest(manifest, folders))
  write('npm-shrinkwrap.json', shrinkwrap(lock, manifest))
}

if (import.meta.main) await buildPackage()
