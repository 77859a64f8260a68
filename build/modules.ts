import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path/posix'
import { parseSync } from 'oxc-parser'

/** A name of another module, and what it is called here; `*` is all of it. */
type Imported = Readonly<{ from: string; name: string; local: string }>

/** A compiled module. Places in the package begin with a slash; libraries are called what they are asked for by. */
export type Module = Readonly<{
  path: string
  /** No other has it. */
  number: number
  /** What runs before it, in order. */
  imports: readonly string[]
  /** Modules that are loaded once somebody needs them. */
  later: readonly string[]
  names: readonly Imported[]
  /** What is exported, by what it is called inside, or as one of another module. */
  exports: ReadonlyMap<string, string | Readonly<{ from: string; name: string }>>
  /** Its text without imports and exports, as it can stand in a file of that folder. */
  body: string
  /** Whether it asks where it is. */
  placed: boolean
}>

export const isModule = (path: string): boolean => path.startsWith('/') && path.endsWith('.js')

/** What a file of one folder calls another file. */
export function between(folder: string, path: string): string {
  const found = relative(folder, path)
  return found.startsWith('.') ? found : `./${found}`
}

/** What stands for `import.meta`: the modules of a file would all be in the same place. */
export const PLACE = 'place$'

/** Reads a module, to be put into a file of that folder. What could mean something else there is refused. */
export function readModule(root: string, path: string, { folder, number }: Readonly<{ folder: string; number: number }>): Module {
  const text = readFileSync(join(root, path), 'utf8')
  const { module, program, errors: [error] } = parseSync(path, text)
  if (error !== undefined) throw new Error(`${path}: ${error.message}`)
  const refuse = (what: string): never => {
    throw new Error(`${path}: ${what} cannot be bundled`)
  }
  const placeOf = (specifier: string) => (specifier.startsWith('.') ? join(dirname(path), specifier) : specifier)
  const names: Imported[] = []
  const imports: string[] = []
  const later: string[] = []
  const exports = new Map<string, string | { from: string; name: string }>()
  const edits: Edit[] = module.importMetas.map(({ start, end }) => ({ start, end, text: PLACE }))

  for (const { start, end, moduleRequest, entries } of module.staticImports) {
    const from = placeOf(moduleRequest.value)
    imports.push(from)
    edits.push({ start, end, text: '' })
    for (const { importName, localName } of entries) {
      const name = { Name: importName.name ?? '', Default: 'default', NamespaceObject: '*' }[importName.kind]
      if (name === '*' && isModule(from)) refuse('a module of ours as one value')
      names.push({ from, name, local: localName.value })
    }
  }
  for (const { entries } of module.staticExports) {
    for (const { moduleRequest, importName, exportName, localName } of entries) {
      const name = exportName.name ?? refuse('an export that has no name')
      if (moduleRequest === null) exports.set(name, localName.name ?? refuse('an export that has no name'))
      else {
        const from = placeOf(moduleRequest.value)
        imports.push(from)
        exports.set(name, { from, name: importName.name ?? refuse('all that another module exports') })
      }
    }
  }
  for (const { type, start, end } of program.body) {
    if (!type.startsWith('Export')) continue
    const statement = text.slice(start, end)
    // Others take the value that it has when they begin.
    if (/^export\s+(let|var)\b/.test(statement)) refuse('an export that may change')
    const word = /^export\s+(?=const|function|async|class)/.exec(statement)
    edits.push({ start, end: word ? start + word[0].length : end, text: '' })
  }
  for (const { moduleRequest: { start, end } } of module.dynamicImports) {
    const specifier = /^'(\.[^']*)'$/.exec(text.slice(start, end))?.[1]
    if (specifier === undefined) continue
    later.push(placeOf(specifier))
    edits.push({ start, end, text: `'${between(folder, placeOf(specifier))}'` })
  }
  if (/String\.raw\s*`[^`]*[^\0-\x7f]/.test(text)) refuse('raw text that is not ASCII')
  return { path, number, imports, later, names, exports, body: ascii(edited(text, edits)), placed: module.importMetas.length > 0 }
}

type Edit = Readonly<{ start: number; end: number; text: string }>

function edited(text: string, edits: readonly Edit[]): string {
  let [result, at] = ['', 0]
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    result += text.slice(at, edit.start) + edit.text
    at = edit.end
  }
  return (result + text.slice(at)).trim()
}

/** For one character that is not of Latin-1 V8 keeps all of a file in twice the memory. They are in texts and patterns only. */
function ascii(text: string): string {
  return text.replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
