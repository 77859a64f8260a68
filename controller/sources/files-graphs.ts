import { stringify } from 'yaml'
import { offsetOfPath, type Path, positionAt } from './files-place.ts'
import { split } from './files-split.ts'
import { parseYaml } from './files-yaml.ts'

/** An object of a file, whatever its kind, and where its fields are written; lines count from 1. */
export type Placed = Readonly<{ object: Readonly<Record<string, unknown>>; lineOf: (path: Path) => number }>

export type Unread = Readonly<{ line: number; message: string }>

/** Every object of a file; the items of a List each for itself. */
export function readPlaced(text: string): Readonly<{ objects: readonly Placed[]; faults: readonly Unread[] }> {
  const objects: Placed[] = []
  const faults: Unread[] = []
  for (const chunk of split(text)) {
    const document = parseYaml(chunk.text)
    if ('fault' in document) {
      faults.push({ line: chunk.line + positionAt(chunk.text, document.fault.offset).line, message: document.fault.message })
      continue
    }
    const { value } = document
    const add = (one: unknown, base: Path) => {
      if (isObject(one)) objects.push({ object: one, lineOf: (path) => chunk.line + positionAt(chunk.text, offsetOfPath(document, [...base, ...path])).line })
    }
    if (isObject(value) && Array.isArray(value['items'])) for (const [at, item] of value['items'].entries()) add(item, ['items', at])
    else add(value, [])
  }
  return { objects, faults }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Objects as documents of YAML, in the order of their members. */
export function writeYaml(objects: readonly unknown[]): string {
  return objects.map((object) => `---\n${stringify(object, { lineWidth: 0 })}`).join('')
}
