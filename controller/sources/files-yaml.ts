import {
  type Alias,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  parseAllDocuments,
  Scalar,
  visit,
  type YAMLMap,
} from 'yaml'
import { resolveScalar } from './files-scalar.ts'

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json }

/** What a document says, and its tree, which knows where. An empty document is null. */
export type YamlDocument = Readonly<{ value: Json; root: Node | null; aliases: ReadonlyMap<Alias, Node> }>

/** What is wrong with a document; `offset`: where in its text. */
export type YamlFault = Readonly<{ message: string; offset: number }>

/** Leaves the recursion; never leaves this file. */
class YamlError extends Error {
  readonly offset: number

  constructor(message: string, offset: number) {
    super(message)
    this.offset = offset
  }
}

/** Far beyond any manifest, far below what overflows a stack here or downstream. */
const MAX_DEPTH = 256
const TOO_DEEP = `nested deeper than ${MAX_DEPTH} levels`
/** How many values aliases may expand to in one document: enough for any honest file, nothing for a bomb. */
const MAX_ALIASED = 100_000
/** What an API server takes in one request. */
const MAX_LENGTH = 3 * 1024 * 1024

/** What libyaml refuses as a control character. */
// oxlint-disable-next-line no-control-regex
const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]/

type State = {
  aliases: ReadonlyMap<Alias, Node>
  /** The collections being read: an alias to one of them is a cycle. */
  open: Set<Node>
  expanding: number
  aliased: number
}

const offsetOf = (node: unknown) => (isNode(node) ? (node.range?.[0] ?? 0) : 0)

export const isMergeKey = (key: unknown): boolean =>
  isScalar(key) &&
  key.value === '<<' &&
  (key.tag === undefined ? key.type === Scalar.PLAIN : key.tag === 'tag:yaml.org,2002:merge')

function scalarOf(node: Scalar): Exclude<Json, object> {
  const plain = node.type === Scalar.PLAIN || node.type === undefined
  const text = typeof node.value === 'string' ? node.value : ''
  const resolved = resolveScalar(text, plain, node.tag)
  if ('error' in resolved) throw new YamlError(resolved.error, offsetOf(node))
  return resolved.value
}

/** The name that a key has in JSON; kubectl writes numbers and booleans out. */
export function keyOf(key: unknown, aliases: ReadonlyMap<Alias, Node>): string | undefined {
  const node = isAlias(key) ? aliases.get(key) : key
  if (!isScalar(node)) return undefined
  const value = scalarOf(node)
  return value === null ? undefined : String(value)
}

/** An own property whatever its name, `__proto__` too. */
function put(target: { [key: string]: Json }, key: string, value: Json): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
  } else target[key] = value
}

function enter<T>(node: Node, state: State, read: () => T): T {
  if (state.open.has(node)) throw new YamlError('this alias refers to a value that contains it', offsetOf(node))
  if (state.open.size >= MAX_DEPTH) throw new YamlError(TOO_DEEP, offsetOf(node))
  state.open.add(node)
  const value = read()
  state.open.delete(node)
  return value
}

function targetOf(alias: Alias, state: State): Node {
  const target = state.aliases.get(alias)
  if (target === undefined) throw new YamlError(`no anchor &${alias.source} before this alias`, offsetOf(alias))
  if (state.open.has(target)) {
    throw new YamlError(`the value of &${alias.source} contains itself through this alias`, offsetOf(alias))
  }
  return target
}

function readNode(node: unknown, state: State): Json {
  if (state.expanding > 0 && ++state.aliased > MAX_ALIASED) {
    throw new YamlError(`aliases expand to more than ${MAX_ALIASED} values`, offsetOf(node))
  }
  if (isAlias(node)) {
    const target = targetOf(node, state)
    state.expanding++
    const value = readNode(target, state)
    state.expanding--
    return value
  }
  if (isMap(node)) {
    return enter(node, state, () => {
      const value: { [key: string]: Json } = {}
      readMap(node, value, state)
      return value
    })
  }
  if (isSeq(node)) return enter(node, state, () => node.items.map((item) => readNode(item, state)))
  return isScalar(node) ? scalarOf(node) : null
}

function readMap(map: YAMLMap, into: { [key: string]: Json }, state: State): void {
  const seen = new Set<string>()
  for (const { key, value } of map.items) {
    if (isMergeKey(key)) {
      merge(value, into, state)
      continue
    }
    const name = keyOf(key, state.aliases)
    if (name === undefined) throw new YamlError('a key must be text, a number or a boolean', offsetOf(key ?? map))
    if (seen.has(name)) throw new YamlError(`the key ${JSON.stringify(name)} is already there`, offsetOf(key))
    seen.add(name)
    put(into, name, readNode(value, state))
  }
}

/** Writes over what stands before it in the same mapping, as kubectl does, and gives way to what follows. */
function merge(source: unknown, into: { [key: string]: Json }, state: State): void {
  const sources = isSeq(source) ? [...source.items].reverse() : [source]
  for (const one of sources) {
    const map = isAlias(one) ? targetOf(one, state) : one
    if (!isMap(map)) throw new YamlError('<< takes a mapping or a list of mappings', offsetOf(one))
    if (isAlias(one)) state.expanding++
    enter(map, state, () => readMap(map, into, state))
    if (isAlias(one)) state.expanding--
  }
}

function resolveAliases(root: Node | null): ReadonlyMap<Alias, Node> {
  const anchors = new Map<string, Node>()
  const aliases = new Map<Alias, Node>()
  visit(root, {
    Node: (_key, node) => {
      if (isAlias(node)) {
        const target = anchors.get(node.source)
        if (target !== undefined) aliases.set(node, target)
      } else if ('anchor' in node && node.anchor !== undefined) anchors.set(node.anchor, node)
    },
  })
  return aliases
}

function parseText(text: string): YamlDocument {
  const documents = parseAllDocuments(text, {
    schema: 'failsafe',
    resolveKnownTags: false,
    uniqueKeys: false,
    logLevel: 'silent',
    prettyErrors: false,
  })
  const [document, next] = 'empty' in documents ? [] : documents
  const directive = /^%/m.exec(text)
  if (directive !== null && (document === undefined || document.contents === null)) {
    throw new YamlError('kubectl reads no directives; remove this line', directive.index)
  }
  if (document === undefined) return { value: null, root: null, aliases: new Map() }
  const [error] = document.errors
  if (error !== undefined) {
    // The library reads by recursion, so text nested by the thousand overflows the stack.
    const deep = error.code === 'RESOURCE_EXHAUSTION'
    throw new YamlError(deep ? TOO_DEEP : error.message, error.pos[0])
  }
  if (next !== undefined) {
    throw new YamlError('kubectl ignores what follows `...`; separate documents with `---`', next.range[0])
  }
  const root = document.contents
  const aliases = text.includes('*') ? resolveAliases(root) : new Map<Alias, Node>()
  const value = readNode(root, { aliases, open: new Set(), expanding: 0, aliased: 0 })
  return { value, root, aliases }
}

/** Reads one document as kubectl would. */
export function parseYaml(text: string): YamlDocument | { fault: YamlFault } {
  if (text.length > MAX_LENGTH) return { fault: { message: 'longer than an API server takes, 3 MiB', offset: 0 } }
  const bad = control.exec(text)
  if (bad !== null) {
    const code = bad[0].charCodeAt(0).toString(16).padStart(4, '0')
    return { fault: { message: `control character U+${code}`, offset: bad.index } }
  }
  try {
    return parseText(text)
  } catch (error) {
    if (error instanceof YamlError) return { fault: { message: error.message, offset: error.offset } }
    if (error instanceof RangeError) return { fault: { message: TOO_DEEP, offset: 0 } }
    throw error
  }
}
