import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path/posix'
import { build, type Plugin } from 'esbuild'

export type BundleOptions = Readonly<{
  /** What is started by its path: a program, or a thread. Beginning with a slash, which is the package's folder. */
  starts: readonly string[]
  /** What is left as it is, and needs nothing of the rest. */
  stays: (path: string) => boolean
}>

/** Where the files are, all of them in one folder. */
const FOLDER = 'bundle'

/**
 * Puts modules of the compiled package together that are loaded together; what is loaded when it is needed stays apart. Each of a
 * proxy's five hundred modules costs Node some 10 KiB and half a millisecond to find, link and remember, and all of them its
 * compilers. Libraries are not bundled. Where a module is started by its path there is one that exports what it did.
 */
export async function bundle(root: string, { starts, stays }: BundleOptions): Promise<void> {
  const named = starts.map((path) => ({ path, name: path.slice(1, -'.js'.length).replaceAll('/', '-') }))
  await build({
    absWorkingDir: root, outdir: join(root, FOLDER),
    entryPoints: named.map(({ path, name }) => ({ in: join(root, path), out: name })),
    bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node24', packages: 'external',
    plugins: [left(root, stays), places(root)], logLevel: 'silent',
  })
  for (const path of globSync('**/*.js', { cwd: root })) if (!path.startsWith(`${FOLDER}/`) && !stays(`/${path}`)) rmSync(join(root, path))
  for (const { path, name } of named) {
    const at = relative(dirname(path), `/${FOLDER}/${name}.js`)
    writeFileSync(join(root, path), `export * from '${at.startsWith('.') ? at : `./${at}`}';\n`)
  }
}

/** What stays is loaded from where it is. */
const left = (root: string, stays: BundleOptions['stays']): Plugin => ({
  name: 'left',
  setup(building) {
    building.onResolve({ filter: /^\./ }, ({ path, resolveDir }) => {
      const place = join('/', relative(root, resolveDir), path)
      return stays(place) ? { path: `..${place}`, external: true } : undefined
    })
  },
})

/** What says where a module was compiled to: the files of the bundle are all in one place, and modules look for what is beside them. */
const place = `import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
export function placeOf(path) {
  const filename = join(import.meta.dirname, '..', path)
  return { filename, dirname: dirname(filename), url: pathToFileURL(filename).href }
}`

function places(root: string): Plugin {
  return {
    name: 'places',
    setup(building) {
      building.onResolve({ filter: /^the:place$/ }, ({ path }) => ({ path, namespace: 'place' }))
      building.onLoad({ filter: /./, namespace: 'place' }, () => ({ contents: place, resolveDir: root }))
      building.onLoad({ filter: /\.js$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8')
        if (!text.includes('import.meta')) return undefined
        const known = `import { placeOf as placeOf$ } from 'the:place';\nconst place$ = placeOf$(${JSON.stringify(relative(root, path))});\n`
        return { contents: known + text.replaceAll('import.meta', 'place$') }
      })
    },
  }
}
