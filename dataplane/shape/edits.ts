import type { BodyChanges } from '../../table/shape.ts'
import { compileValue, type Value, type ValueFacts } from '../../table/values.ts'
import { placesOf, spread } from '../json/pointer.ts'
import { removed } from '../json/remove.ts'
import { Misplaced, written } from '../json/set.ts'
import { Unreadable, worked } from '../json/text.ts'
import type { Sliced } from '../sliced.ts'

/** Why a body could not be changed: it is no JSON, or a place or a value of it could not be found. */
export type Unchanged = Readonly<{ why: 'unreadable' | 'place' | 'value'; pointer: string }>

/** Changes that are made to JSON bodies. */
export type Edits = Readonly<{
  /** @param facts what expressions see; asked for only where there are some */
  apply(json: Buffer, facts: () => ValueFacts): Buffer | Unchanged | Promise<Buffer | Unchanged>
  /** Only what is to be taken out is. */
  remove(json: Buffer): Buffer | Unchanged | Promise<Buffer | Unchanged>
  removes: boolean
  reads: Readonly<Record<'requestBody' | 'model', boolean>>
}>

/** @param answer whether it is answers that are changed */
export function editsOf({ remove, set }: BodyChanges, answer: boolean): Edits {
  const gone = remove.length > 0 ? spread(placesOf(remove.map((pointer) => [pointer, true] as const))) : undefined
  const values = set.map(({ pointer, value }) => ({ pointer, value: valueOf(value, answer) }))
  const places = values.length > 0 ? placesOf(values.map(({ pointer }, at) => [pointer, at] as const)) : undefined

  function* edit(json: Buffer, texts: readonly string[] | undefined): Sliced<Buffer> {
    const rest = gone === undefined ? json : yield* removed(json, gone)
    return places === undefined || texts === undefined ? rest : yield* written(rest, places, (at) => texts[at] ?? 'null')
  }
  const work = (json: Buffer, texts: readonly string[] | undefined) => {
    const outcome = worked(edit(json, texts), json.length)
    return outcome instanceof Promise ? outcome.then(settled) : settled(outcome)
  }

  return {
    removes: gone !== undefined,
    reads: { requestBody: values.some(({ value }) => value.readsRequestBody), model: values.some(({ value }) => value.readsModel) },
    remove: (json) => work(json, undefined),
    apply(json, facts) {
      if (values.length === 0) return work(json, undefined)
      const given = facts()
      const texts: string[] = []
      for (const { pointer, value } of values) {
        const text = value.of(given)
        if (text === undefined) return { why: 'value', pointer }
        texts.push(text)
      }
      return work(json, texts)
    },
  }
}

function settled(outcome: Buffer | Unreadable): Buffer | Unchanged {
  if (outcome instanceof Misplaced) return { why: 'place', pointer: outcome.pointer }
  return outcome instanceof Unreadable ? { why: 'unreadable', pointer: '' } : outcome
}

/** The controller has compiled it already; where the two disagree, it has no value. */
function valueOf(source: string, answer: boolean): Value {
  const value = compileValue(source, answer)
  return 'fault' in value ? { of: () => undefined, readsRequestBody: false, readsModel: false, readsPrincipal: false } : value
}
