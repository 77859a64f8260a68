import { isAlias, isMap, isNode, isSeq, type Pair } from 'yaml'
import { isMergeKey, keyOf, type YamlDocument } from './files-yaml.ts'

export type Path = readonly (string | number)[]

/** Both count from 1. */
export type Position = Readonly<{ line: number; column: number }>

/** `spec.rules[0].backendRefs[1].port`; a name that holds a dot may stand in `["…"]`. */
export function parseField(field: string): Path {
  const path: (string | number)[] = []
  for (const match of field.matchAll(/\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|([^.[\]]+)/g)) {
    const [, index, quoted, name] = match
    if (index !== undefined) path.push(Number(index))
    else path.push(quoted ?? name ?? '')
  }
  return path
}

export function formatField(path: Path): string {
  const parts = path.map((part) => {
    if (typeof part === 'number') return `[${part}]`
    return /^[^.[\]"]+$/.test(part) ? `.${part}` : `[${JSON.stringify(part)}]`
  })
  return parts.join('').replace(/^\./, '')
}

export function positionAt(text: string, offset: number): Position {
  const before = text.slice(0, offset)
  const start = before.lastIndexOf('\n') + 1
  return { line: before.split('\n').length, column: offset - start + 1 }
}

type Found = { node: unknown; offset: number }

function inMap(pairs: readonly Pair[], name: string, document: YamlDocument): Found | undefined {
  // The last of equals is the one in force, and what stands in the mapping itself comes before what it merges in.
  const own = pairs.findLast(({ key }) => !isMergeKey(key) && keyOf(key, document.aliases) === name)
  if (own !== undefined) return { node: own.value, offset: offsetOf(own.key) }
  for (const { value } of pairs.filter(({ key }) => isMergeKey(key))) {
    for (const source of isSeq(value) ? value.items : [value]) {
      const map = follow(source, document)
      const found = isMap(map) ? inMap(map.items, name, document) : undefined
      if (found !== undefined) return found
    }
  }
  return undefined
}

const follow = (node: unknown, { aliases }: YamlDocument) => (isAlias(node) ? aliases.get(node) : node)
const offsetOf = (node: unknown) => (isNode(node) ? (node.range?.[0] ?? 0) : 0)

/** Where the field is written: its key, or its item; where it is missing, the nearest of what holds it. */
export function offsetOfPath(document: YamlDocument, path: Path): number {
  let at: Found = { node: document.root, offset: offsetOf(document.root) }
  for (const part of path) {
    const node = follow(at.node, document)
    let next: Found | undefined
    if (isMap(node)) next = inMap(node.items, String(part), document)
    else if (isSeq(node) && typeof part === 'number' && part < node.items.length) {
      next = { node: node.items[part], offset: offsetOf(node.items[part]) }
    }
    if (next === undefined) break
    at = next
  }
  return at.offset
}
