import { segmentsOf } from '../../json/pointer.ts'

/** JSON Pointers (RFC 6901) that are looked for together, as a tree by reference token. */
export type Wanted = Readonly<{
  /** Which of the pointers ends here; -1: none. */
  slot: number
  children: ReadonlyMap<string, Wanted>
  /** Names of the children, as a reader that does not tell cases apart has them. */
  folded: ReadonlySet<string>
  /** The last place of a list that one of the children is; -1: none. */
  lastIndex: number
}>

type Growing = { slot: number; children: Map<string, Growing> }

export function wantedOf(pointers: readonly string[]): Wanted {
  const root: Growing = { slot: -1, children: new Map() }
  for (const [slot, pointer] of pointers.entries()) {
    let node = root
    for (const name of segmentsOf(pointer)) {
      const child: Growing = node.children.get(name) ?? { slot: -1, children: new Map() }
      node.children.set(name, child)
      node = child
    }
    node.slot = slot
  }
  return frozen(root)
}

function frozen({ slot, children }: Growing): Wanted {
  const names = [...children.keys()]
  return {
    slot,
    children: new Map([...children].map(([name, child]) => [name, frozen(child)])),
    folded: new Set(names.map(fold)),
    lastIndex: Math.max(-1, ...names.filter((name) => /^(?:0|[1-9]\d{0,8})$/.test(name)).map(Number)),
  }
}

/** Go's encoding/json takes `Model` for `model`, and `ſ` for `s`. */
export const fold = (name: string): string => name.toUpperCase().toLowerCase()
