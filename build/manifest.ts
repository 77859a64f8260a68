/** The parts of the repository's package.json that the published one has too. */
export type Manifest = Readonly<{
  name: string
  version: string
  dependencies: Readonly<Record<string, string>>
  bin: Readonly<Record<string, string>>
  engines: Readonly<Record<string, string>>
  [other: string]: unknown
}>

type Names = Readonly<Record<string, string>>

export type Lock = Readonly<{
  /** By their place, such as `node_modules/a/node_modules/b`. */
  packages: Readonly<Record<string, Readonly<{
    dependencies?: Names
    optionalDependencies?: Names
    peerDependencies?: Names
    peerDependenciesMeta?: Readonly<Record<string, Readonly<{ optional?: boolean }>>>
  }>>>
}>

const kept = ['name', 'version', 'description', 'keywords', 'license', 'repository', 'homepage', 'bugs', 'type', 'engines', 'bin', 'dependencies'] as const

/** What of the package is not compiled from TypeScript, as folder and names in it. */
export const assets: Readonly<Record<string, RegExp>> = {
  '.': /^(README\.md|LICENSE|CHANGELOG\.md)$/,
  cli: /^modelroute\.js$/,
  'console/page': /\.(js|css|html|svg)$/,
  crds: /\.yaml$/,
  'examples/quickstart': /\.yaml$/,
}

/** The published package.json: nothing of development, and the types of plugins where they were compiled to. */
export function packageManifest(manifest: Manifest, folders: readonly string[]): Record<string, unknown> {
  return {
    ...Object.fromEntries(kept.flatMap((key) => key in manifest ? [[key, manifest[key]]] : [])),
    exports: { './plugin': { types: './dataplane/plugins/plugin.d.ts' }, './package.json': './package.json' },
    files: [...folders, 'CHANGELOG.md', 'npm-shrinkwrap.json'],
    publishConfig: { access: 'public', provenance: true },
  }
}

/**
 * npm-shrinkwrap.json: whoever installs the package gets the versions that were tested, and they are what the image has.
 * Its root must say what the published package.json says.
 */
export function shrinkwrap(lock: Lock, { name, version, dependencies, bin, engines, license }: Manifest): Record<string, unknown> {
  const needed = production(lock, dependencies)
  const packages = Object.entries(lock.packages).filter(([path]) => needed.has(path))
  return {
    ...lock,
    packages: { '': { name, version, license, dependencies, bin, engines }, ...Object.fromEntries(packages) },
  }
}

/**
 * The places of all that is needed at run time. What npm marks as for development is not enough to tell: a library's
 * optional peer that only development brings, as TypeScript is, has no such mark.
 */
function production({ packages }: Lock, dependencies: Names): ReadonlySet<string> {
  const found = new Set<string>()
  const follow = (from: string, names: Names) => {
    for (const name of Object.keys(names)) {
      const at = place(packages, from, name)
      if (at === undefined || found.has(at)) continue
      found.add(at)
      const { dependencies = {}, optionalDependencies = {}, peerDependencies = {}, peerDependenciesMeta = {} } = packages[at] ?? {}
      const peers = Object.entries(peerDependencies).filter(([peer]) => peerDependenciesMeta[peer]?.optional !== true)
      follow(at, { ...dependencies, ...optionalDependencies, ...Object.fromEntries(peers) })
    }
  }
  follow('', dependencies)
  return found
}

/** Where Node would find a package that is asked for from a place: below it, or else below what that is in. */
function place(packages: Lock['packages'], from: string, name: string): string | undefined {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const path = `${at === '' ? '' : `${at}/`}node_modules/${name}`
    if (Object.hasOwn(packages, path)) return path
    if (at === '') return undefined
  }
}
