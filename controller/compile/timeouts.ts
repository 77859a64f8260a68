import type { Timeouts } from '../../table/route.ts'
import type { Problem } from '../sources/snapshot.ts'
import { parseDuration } from './durations.ts'
import { invalid, quote } from './problems.ts'
import type { TimeoutsSpec } from './spec.ts'

/** What holds where a rule says nothing, in milliseconds. `firstByte` has no default. */
const defaults = [
  ['request', 60_000],
  ['backendRequest', 60_000],
  ['connect', 1000],
  ['streamIdle', 300_000],
] as const
const names = ['request', 'backendRequest', 'connect', 'firstByte', 'streamIdle'] as const

const compiledDefaults: Timeouts = Object.fromEntries(defaults)

/** A duration of zero is no limit, as in Gateway API, and no limit is an absent field of the table. */
export function compileTimeouts(spec: TimeoutsSpec | undefined, place: string, problems: Problem[]): Timeouts {
  if (!spec) return compiledDefaults
  const limits = new Map<keyof Timeouts, number>(defaults)
  for (const name of names) {
    const text = spec[name]
    if (text === undefined) continue
    const parsed = parseDuration(text)
    if (parsed === null) {
      problems.push(invalid(`${place}.${name}`, `${quote(text)} is no duration; write one such as 250ms, 30s or 1h30m`))
    } else limits.set(name, parsed)
  }

  const request = limits.get('request') ?? 0
  const backendRequest = limits.get('backendRequest') ?? 0
  if (request > 0 && backendRequest > request) {
    if (spec.backendRequest === undefined) limits.set('backendRequest', request)
    else {
      const whole = spec.request === undefined ? 'the default request of 60s' : `request (${spec.request})`
      const message = `is longer than ${whole}, which covers every try; raise request or lower this`
      problems.push(invalid(`${place}.backendRequest`, message))
    }
  }

  const compiled: { -readonly [name in keyof Timeouts]: Timeouts[name] } = {}
  for (const name of names) {
    const limit = limits.get(name) ?? 0
    if (limit > 0) compiled[name] = limit
  }
  return compiled
}
