import { globSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FOLDER, entryText, fileText, layOut } from './bundled.ts'
import { isModule, type Module, readModule } from './modules.ts'

export type BundleOptions = Readonly<{
  /** What is started by its path: a program, or a thread. */
  starts: readonly string[]
  /** What is left as it is, and needs nothing of the rest. */
  stays: (path: string) => boolean
}>

/**
 * Puts modules of the compiled package together that are loaded together: what the same programs, threads and later loads need is one
 * file. Each of a proxy's five hundred modules costs Node some 10 KiB and half a millisecond to find, link and remember, and all of them
 * its compilers. Where a module is loaded by its path there is one that exports what it did; so there is one of each, whoever loads it.
 */
export function bundle(root: string, { starts, stays }: BundleOptions): void {
  const modules = readAll(root, starts, stays)
  const entries = [...new Set([...starts, ...[...modules.values()].flatMap(({ later }) => later)])].filter((path) => modules.has(path))
  const files = filesOf(modules, entries)
  const laid = layOut(modules, new Map([...files].flatMap(([name, paths]) => paths.map((path) => [path, name] as const))), entries)
  const texts = [...files].map(([name, paths]) => [join(FOLDER, name), fileText(name, paths, laid)] as const)
  for (const path of globSync('**/*.js', { cwd: root })) if (!stays(`/${path}`)) rmSync(join(root, path))
  mkdirSync(join(root, FOLDER))
  for (const [path, text] of [...texts, ...entries.map((entry) => [entry, entryText(entry, laid)] as const)]) writeFileSync(join(root, path), text)
}

type Modules = ReadonlyMap<string, Module>

/** All that is needed, each behind what it needs itself. */
function readAll(root: string, starts: readonly string[], stays: BundleOptions['stays']): Modules {
  const modules = new Map<string, Module>()
  const begun = new Set<string>()
  const wanted = [...starts]
  function read(path: string): void {
    if (modules.has(path) || !isModule(path) || stays(path)) return
    if (begun.has(path)) throw new Error(`${path} needs itself: ${[...begun].join(', ')}`)
    begun.add(path)
    const module = readModule(root, path, { folder: FOLDER, number: begun.size + modules.size })
    module.imports.forEach(read)
    begun.delete(path)
    modules.set(path, module)
    wanted.push(...module.later)
  }
  for (let path = wanted.shift(); path !== undefined; path = wanted.shift()) read(path)
  return modules
}

/**
 * The modules of each file, by its name, in the order in which they run. What a module needs is needed by whatever needs the module, so that files
 * never need each other.
 */
function filesOf(modules: Modules, entries: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const needing = new Map<string, Set<string>>()
  function mark(path: string, entry: string): void {
    const module = modules.get(path)
    const known = needing.get(path) ?? new Set()
    if (module === undefined || known.has(entry)) return
    needing.set(path, known.add(entry))
    for (const each of module.imports) mark(each, entry)
  }
  for (const entry of entries) mark(entry, entry)
  const together = Map.groupBy(modules.keys(), (path) => [...needing.get(path) ?? []].join(' '))
  // Called what the last of them is, which needs the others more than they need it.
  const files = new Map([...together.values()].map((paths) => [(paths.at(-1) ?? '').slice(1).replaceAll('/', '-'), paths]))
  if (files.size < together.size) throw new Error('two files would have one name')
  return files
}
