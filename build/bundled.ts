import { dirname } from 'node:path/posix'
import { between, type Module, PLACE } from './modules.ts'

/** Where the files are. */
export const FOLDER = '/bundle'

/** The modules, and the name of the file that each is in. */
export type Laid = Readonly<{
  modules: ReadonlyMap<string, Module>
  fileOf: ReadonlyMap<string, string>
  /** What other files need, or who loads a module by its path: the rest need not be remembered once all have run. */
  shared: ReadonlySet<string>
}>

export function layOut(modules: Laid['modules'], fileOf: Laid['fileOf'], entries: readonly string[]): Laid {
  const laid = { modules, fileOf, shared: new Set<string>() }
  const share = (from: string, name: string, file?: string): void => {
    const origin = originOf(laid, from, name)
    if (origin && fileOf.get(origin.path) !== file) laid.shared.add(outside(laid, origin))
  }
  for (const { path, names } of modules.values()) for (const { from, name } of names) share(from, name, fileOf.get(path))
  for (const path of entries) for (const name of modules.get(path)?.exports.keys() ?? []) share(path, name)
  return laid
}

/** The module that an export is from, and what it is called in there. */
type Origin = Readonly<{ path: string; inside: string }>

/** Undefined: it is of no module that is bundled. */
function originOf(laid: Laid, from: string, name: string): Origin | undefined {
  const module = laid.modules.get(from)
  if (module === undefined) return undefined
  const inside = module.exports.get(name)
  if (inside === undefined) throw new Error(`${from} exports no ${name}`)
  if (typeof inside !== 'string') return originOf(laid, inside.from, inside.name)
  const passed = module.names.find(({ local }) => local === inside)
  return (passed && originOf(laid, passed.from, passed.name)) ?? { path: from, inside }
}

/** What that is called outside of its module, where all modules have one space of names. */
const outside = ({ modules }: Laid, { path, inside }: Origin): string => `${inside}$${modules.get(path)?.number ?? ''}`

/** By what is imported from: what, and what it is called here. */
type Imports = Map<string, Map<string, string>>

/**
 * A file of modules. Each keeps its scope as a block, in which what it imports are constants, as they are in modules that do not need each other:
 * nothing is renamed.
 */
export function fileText(file: string, paths: readonly string[], laid: Laid): string {
  const imports: Imports = new Map()
  const exports: string[] = []
  const blocks: string[] = []
  const from = (source: string) => {
    const found = imports.get(source) ?? new Map<string, string>()
    imports.set(source, found)
    return found
  }
  for (const path of paths) {
    const module = laid.modules.get(path)
    if (module === undefined) continue
    for (const each of module.imports) {
      const other = laid.fileOf.get(each)
      if (other !== file) from(other === undefined ? specifierOf(each) : `./${other}`)
    }
    const taken = module.names.map(({ from: source, name, local }) => `${local} = ${take(source, name)}`)
    const own = [...module.exports.keys()].flatMap((name) => originOf(laid, path, name) ?? []).filter((origin) => origin.path === path)
    exports.push(...own.map((origin) => outside(laid, origin)))
    blocks.push([
      `// ${path.slice(1)}`, '{',
      ...(module.placed ? [`const ${PLACE} = placeOf$('${path}');`] : []),
      ...(taken.length > 0 ? [`const ${taken.join(', ')};`] : []),
      module.body,
      ...own.map((origin) => `${outside(laid, origin)} = ${origin.inside};`),
      '}',
    ].join('\n'))
  }
  const names = [...new Set(exports)]
  const shared = names.filter((name) => laid.shared.has(name))
  const placed = paths.some((path) => laid.modules.get(path)?.placed === true)
  return `${[
    ...[...imports].map(([source, parts]) => importText(source, parts)),
    ...(placed ? [places] : []), ...(names.length === 0 ? [] : [`let ${names.join(', ')};`]), ...blocks, ...(shared.length === 0 ? [] : [`export { ${shared.join(', ')} };`]),
  ].join('\n')}\n`

  function take(source: string, name: string): string {
    const origin = originOf(laid, source, name)
    if (origin === undefined) {
      const parts = from(specifierOf(source))
      const local = parts.get(name) ?? `${name === '*' ? 'all' : name}$of${[...imports.keys()].indexOf(specifierOf(source))}`
      parts.set(name, local)
      return local
    }
    const other = laid.fileOf.get(origin.path)
    if (other !== file) from(`./${other}`).set(outside(laid, origin), outside(laid, origin))
    return outside(laid, origin)
  }
}

const specifierOf = (source: string): string => (source.startsWith('/') ? between(FOLDER, source) : source)

function importText(source: string, parts: ReadonlyMap<string, string>): string {
  const from = `'${source}'${source.endsWith('.json') ? " with { type: 'json' }" : ''};`
  const all = parts.get('*')
  const named = [...parts].filter(([name]) => name !== '*').map(([name, local]) => (name === local ? name : `${name} as ${local}`))
  return [
    ...(all === undefined ? [] : [`import * as ${all} from ${from}`]),
    ...(named.length === 0 ? [] : [`import { ${named.join(', ')} } from ${from}`]),
    ...(parts.size === 0 ? [`import ${from}`] : []),
  ].join('\n')
}

/** Modules find what is beside them where they were compiled to. */
const places = `import { dirname as dirname$, join as join$ } from 'node:path';
import { pathToFileURL as pathToFileURL$ } from 'node:url';
function placeOf$(path) {
    const filename = join$(import.meta.dirname, '..', path);
    return { filename, dirname: dirname$(filename), url: pathToFileURL$(filename).href };
}`

/** What is where a module was that is loaded by its path. */
export function entryText(path: string, laid: Laid): string {
  const at = (file: string | undefined) => `'${between(dirname(path), `${FOLDER}/${file}`)}';`
  const lines = [`import ${at(laid.fileOf.get(path))}`]
  for (const name of laid.modules.get(path)?.exports.keys() ?? []) {
    const origin = originOf(laid, path, name)
    if (origin) lines.push(`export { ${outside(laid, origin)} as ${name} } from ${at(laid.fileOf.get(origin.path))}`)
  }
  return `${lines.join('\n')}\n`
}
