import type { Failure } from '../pipeline/errors.ts'
import { failure } from '../pipeline/errors.ts'
import type { Spans } from './spans.ts'
import { invalid, shown, type Parameter } from './tensor.ts'
import type { Text } from './text.ts'

/** Reads an object of parameters; `lenient`: what V2 has no parameter for becomes a text of JSON, instead of being refused. */
export function readParameters(json: Spans, from: number, lenient: boolean): { end: number; parameters: Map<string, Parameter> } | Failure {
  const parameters = new Map<string, Parameter>()
  let fault: Failure | undefined
  const end = json.members(from, (name, at) => {
    const to = json.skip(at)
    if (to === -1) return -1
    const value = parameterIn(json, at, to, lenient)
    if (value === undefined) fault ??= failure('unsupported_translation', `The parameter ${shown(name)} is neither a text, a number nor a truth.`)
    else if (value !== null) parameters.set(name, value)
    return to
  })
  if (fault !== undefined) return fault
  return end === -1 ? invalid('"parameters" is not an object of JSON.') : { end, parameters }
}

/** Null: it was not said. */
function parameterIn(json: Spans, from: number, to: number, lenient: boolean): Parameter | null | undefined {
  const written = json.bytes.toString('utf8', from, Math.min(to, from + 24))
  if (/^-?\d{1,20}$/.test(written)) {
    const whole = BigInt(written)
    return whole >= -(2n ** 63n) && whole < 2n ** 64n ? whole : undefined
  }
  const value = json.value(from, to)
  if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') return value
  return lenient && value !== undefined ? JSON.stringify(value) : undefined
}

export function putParameters(text: Text, parameters: ReadonlyMap<string, Parameter>): void {
  text.put('{')
  let first = true
  for (const [name, value] of parameters) {
    if (!first) text.put(',')
    first = false
    text.json(name).put(':')
    if (typeof value === 'bigint') text.put(String(value))
    else if (typeof value === 'number') text.put(doubleText(value))
    else text.json(value)
  }
  text.put('}')
}

/** So that it is told from an integer. JSON has no word for NaN and the infinities, which Triton writes so. */
function doubleText(value: number): string {
  const written = Object.is(value, -0) ? '-0' : String(value)
  return /^-?\d+$/.test(written) ? `${written}.0` : written
}
