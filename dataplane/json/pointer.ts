/** The names on the way to a value (RFC 6901); of the whole, none. */
export function segmentsOf(pointer: string): readonly string[] {
  return pointer.split('/').slice(1).map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

export const escaped = (name: string) => name.replaceAll('~', '~0').replaceAll('/', '~1')

/** Places in a body, as a tree of names. `value`: what is meant for the place. */
export type Places<T> = { value: T | undefined; readonly inner: Map<string, Places<T>> }

const none = <T>(): Places<T> => ({ value: undefined, inner: new Map() })

export function placesOf<T>(entries: Iterable<readonly [pointer: string, value: T]>): Places<T> {
  const root = none<T>()
  for (const [pointer, value] of entries) {
    let node = root
    for (const name of segmentsOf(pointer)) {
      let next = node.inner.get(name)
      if (next === undefined) node.inner.set(name, next = none())
      node = next
    }
    node.value = value
  }
  return root
}

/** The same, where `*` stands for every element of a list and every member of an object: also for those that are named beside it. */
export function spread(places: Places<true>): Places<true> {
  const every = places.inner.get('*')
  const inner = new Map<string, Places<true>>()
  for (const [name, place] of places.inner) inner.set(name, spread(every === undefined || name === '*' ? place : joined(place, every)))
  return { value: places.value, inner }
}

function joined(a: Places<true>, b: Places<true>): Places<true> {
  const inner = new Map(a.inner)
  for (const [name, place] of b.inner) {
    const own = inner.get(name)
    inner.set(name, own === undefined ? place : joined(own, place))
  }
  return { value: a.value ?? b.value, inner }
}
