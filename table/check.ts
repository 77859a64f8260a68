import type { GenericSchema } from 'valibot'

/**
 * Whether values hold to a schema, and no more than that: nothing is copied, and nothing said of what is wrong. Where hundreds
 * of states are read a second, what a parser makes of each is as much garbage again as the states.
 */
export function checkOf<T>(schema: GenericSchema<unknown, T>): (value: unknown) => value is T {
  const check = compiled(schema)
  return (value): value is T => check(value)
}

type Check = (value: unknown) => boolean

/** Of a schema or an action, what can be told by looking. */
type Part = Readonly<Record<string, unknown>>

const isPart = (value: unknown): value is Part => typeof value === 'object' && value !== null

const simple: Readonly<Record<string, Check>> = {
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  number: (value) => typeof value === 'number' && !Number.isNaN(value),
}

function compiled(schema: unknown): Check {
  if (!isPart(schema)) throw new Error('no schema')
  const { type, pipe } = schema
  const own = withoutPipe(schema)
  if (!Array.isArray(pipe)) return own
  // The first of them is the schema itself.
  const rest = pipe.slice(1).map(compiledAction)
  return (value) => own(value) && rest.every((check) => check(value))

  function withoutPipe({ entries, item, wrapped, options }: Part): Check {
    if (type === 'object' && isPart(entries)) return objectOf(entries)
    if (type === 'array') {
      const each = compiled(item)
      return (value) => Array.isArray(value) && value.every(each)
    }
    if (type === 'nullable' || type === 'optional') {
      const inner = compiled(wrapped)
      const none = type === 'nullable' ? null : undefined
      return (value) => value === none || inner(value)
    }
    if (type === 'picklist' && Array.isArray(options)) return (value) => options.includes(value)
    const check = typeof type === 'string' ? simple[type] : undefined
    if (check === undefined) throw new Error(`a schema of type ${String(type)} is not known here`)
    return check
  }
}

/** Members that it does not name may be there. */
function objectOf(entries: Part): Check {
  const members = Object.entries(entries).map(([name, schema]) => ({ name, check: compiled(schema), optional: isPart(schema) && schema['type'] === 'optional' }))
  return (value) => isPart(value) && members.every(({ name, check, optional }) => Object.hasOwn(value, name) ? check(value[name]) : optional)
}

function compiledAction(action: unknown): Check {
  const least = isPart(action) && action['type'] === 'min_value' ? action['requirement'] : undefined
  if (typeof least !== 'number') throw new Error('an action that is not known here')
  return (value) => typeof value === 'number' && value >= least
}
