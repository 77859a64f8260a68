import type { ActiveHealth, CircuitBreaker, Health, WakeUp } from '../../table/resilience.ts'
import type { Timeouts } from '../../table/route.ts'
import type { Problem } from '../sources/snapshot.ts'
import { parseDuration } from './durations.ts'
import { invalid, quote, warning } from './problems.ts'
import type { CircuitBreakerSpec, HealthSpec, RuleSpec } from './spec.ts'

/** The shortest time between two questions to one endpoint. Milliseconds. */
const intervalMin = 100

export function compileHealth(spec: HealthSpec | undefined, place: string, problems: Problem[]): Health | undefined {
  if (spec?.active === undefined && spec?.passive === undefined) return undefined
  const time = times(problems)
  const active = spec.active && compileActive(spec.active, `${place}.active`, time, problems)
  const at = `${place}.passive`
  const passive = spec.passive && {
    consecutiveErrors: spec.passive.consecutiveErrors ?? 5,
    window: time(spec.passive.window, 10_000, `${at}.window`),
    ejectFor: time(spec.passive.ejectFor, 30_000, `${at}.ejectFor`),
    maxEjectedPercent: spec.passive.maxEjectedPercent ?? 50,
  }
  return { ...(active && { active }), ...(passive && { passive }) }
}

function compileActive(spec: NonNullable<HealthSpec['active']>, place: string, time: Time, problems: Problem[]): ActiveHealth {
  const { type = 'HTTP', path } = spec
  const interval = time(spec.interval, 5000, `${place}.interval`)
  if (interval < intervalMin) problems.push(invalid(`${place}.interval`, `is shorter than ${intervalMin}ms, which is as often as an endpoint is asked`))
  return {
    type,
    ...(type === 'HTTP' && { path: path ?? '/' }),
    interval,
    timeout: time(spec.timeout, Math.min(1000, interval), `${place}.timeout`),
    healthy: spec.healthy ?? 2,
    unhealthy: spec.unhealthy ?? 3,
  }
}

/** Undefined where nothing is limited. */
export function compileBreaker(spec: CircuitBreakerSpec | undefined, place: string, problems: Problem[]): CircuitBreaker | undefined {
  if (!spec) return undefined
  const { maxRequests, maxPending = 0, errorPercent, slowPercent, slowAfter, minRequests = 20, openFor } = spec
  const time = times(problems)
  const slow = slowPercent === undefined ? undefined : { percent: slowPercent, after: time(slowAfter, 0, `${place}.slowAfter`) }
  if (maxPending > 0 && maxRequests === undefined) {
    problems.push(invalid(`${place}.maxPending`, 'is how many wait for one of maxRequests places; add maxRequests'))
  }
  if (maxRequests === undefined && errorPercent === undefined && slow === undefined) return undefined
  return {
    ...(maxRequests !== undefined && { maxRequests }),
    maxPending,
    ...(errorPercent !== undefined && { errorPercent }),
    ...(slow && { slow }),
    minRequests,
    openFor: time(openFor, 10_000, `${place}.openFor`),
  }
}

export function compileWakeUp(spec: RuleSpec['wakeUp'], place: string, { request }: Timeouts, problems: Problem[]): WakeUp | undefined {
  if (!spec) return undefined
  const hold = times(problems)(spec.hold, 0, `${place}.hold`)
  if (request !== undefined && hold > request) {
    problems.push(warning(`${place}.hold`, 'Invalid', `is longer than timeouts.request (${request} ms), which ends the waiting first`))
  }
  return { hold }
}

/** The schema holds the values to their form, but not those of a file that was recorded before. */
type Time = (text: string | undefined, absent: number, place: string) => number

function times(problems: Problem[]): Time {
  return (text, absent, place) => {
    const parsed = text === undefined ? absent : parseDuration(text)
    if (parsed === null) problems.push(invalid(place, `${quote(text ?? '')} is no duration; write one such as 250ms, 30s or 1h30m`))
    return parsed ?? absent
  }
}
