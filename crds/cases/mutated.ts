import * as fc from 'fast-check'
import { valid } from './valid.ts'

type Json = Record<string, unknown>

const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom('0s', '5m', 'month', '*', '', '/', '\0', '32Mi', '0.5', 'a', 'Service', 'URL', 'GRPC', 'Header'),
  fc.constantFrom(-1, 0, 1, 1.5, 503, 2 ** 31, 2 ** 53, 1e300, true, false, null, [], {}),
)

const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null

/** Also a key like __proto__ becomes a field of its own. */
function put(container: Json, key: string, value: unknown): void {
  Object.defineProperty(container, key, { value, enumerable: true, configurable: true, writable: true })
}

/** Every place in a value: the containers, and the keys to follow. */
function places(value: unknown): [Json, string][] {
  if (!isJson(value)) return []
  return Object.keys(value).flatMap((key): [Json, string][] => [[value, key], ...places(value[key])])
}

function change([container, key]: [Json, string], value: unknown, how: string, [from, other]: [Json, string]): void {
  if (how === 'remove' && Array.isArray(container)) container.splice(Number(key), 1)
  else if (how === 'remove') delete container[key]
  else if (how === 'add' && Array.isArray(container)) container.push(value)
  else if (how === 'add') put(container, `${key}x`, value)
  else if (how === 'repeat' && Array.isArray(container)) container.push(structuredClone(container[Number(key)]))
  else put(container, key, how === 'move' ? structuredClone(from[other]) : value)
}

/**
 * Objects that were valid until one to three places in them changed: a value replaced, removed, added, repeated in its
 * list, or copied from a field of the same name. `part` is what may change: the whole object, or its spec.
 */
export function mutated(part: 'all' | 'spec'): fc.Arbitrary<Json> {
  const starts = valid.map(({ object }) => object).filter((object) => JSON.stringify(object).length < 20_000)
  const edit = fc.record({
    place: fc.nat(),
    other: fc.nat(),
    value: anything,
    how: fc.constantFrom('replace', 'remove', 'remove', 'add', 'repeat', 'move', 'move', 'move'),
  })
  return fc.tuple(fc.constantFrom(...starts), fc.array(edit, { minLength: 1, maxLength: 3 })).map(([start, edits]) => {
    const object: Json = structuredClone(start)
    for (const { place, other, value, how } of edits) {
      const all = places(part === 'all' ? object : object['spec'])
      const at = all[place % all.length]
      if (at === undefined) continue
      // From a field of the same name, so that what is moved has a chance to fit.
      const alike = all.filter(([, key]) => key === at[1])
      const from = alike[other % alike.length]
      if (from !== undefined) change(at, structuredClone(value), how, from)
    }
    return object
  })
}
