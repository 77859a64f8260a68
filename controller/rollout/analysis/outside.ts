import type { Answered, Outgoing, Unanswered } from '../../../outgoing/call.ts'
import type { Callee } from '../../../table/principal.ts'
import type { Gate } from '../../compile/analysis.ts'
import type { GateJudgement, WatchedStep } from '../judge.ts'
import { judgeValue } from './gate.ts'

/**
 * Asks for the numbers of a gate that others measure, and judges it. It never rejects.
 * @param stable the variant that bounds relative to stable are relative to; undefined where there is no other
 */
export type AskOutside = (gate: Gate, step: WatchedStep, stable: string | undefined) => Promise<GateJudgement>

type Told = Readonly<{ value: number }> | Readonly<{ why: string }>

const answerMax = 64 * 1024
/** Milliseconds. */
const timeout = 5000
/** What is asked at once, of all rollouts together. */
const callsMax = 256

export function createAskOutside(outgoing: Outgoing): AskOutside {
  let calls = 0
  async function ask({ measure, name }: Gate, step: WatchedStep, variant: string): Promise<Told> {
    if (measure.type !== 'Prometheus' && measure.type !== 'Webhook') return { why: 'nobody to ask' }
    if (calls >= callsMax) return { why: 'too much is asked at once' }
    calls++
    try {
      return measure.type === 'Prometheus'
        ? promValue(await outgoing({ to: withQuery(measure.to, measure.query.replaceAll('$variant', variant)), method: 'GET', maxBytes: answerMax, timeout }))
        : webhookValue(await outgoing({
            to: measure.to, method: 'POST', maxBytes: answerMax, timeout,
            headers: { 'content-type': 'application/json', accept: 'application/json' },
            body: JSON.stringify(questionOf(name, step, variant)),
          }))
    } finally {
      calls--
    }
  }
  return async (gate, step, stable) => {
    const { maxRatio, minRatio } = gate.bounds
    const relative = maxRatio !== undefined || minRatio !== undefined
    const [candidate, other] = await Promise.all([
      ask(gate, step, step.candidate),
      !relative ? undefined : stable === undefined ? { why: 'there is no other variant to compare with' } : ask(gate, step, stable),
    ])
    const why = [candidate, other].flatMap((told) => (told && 'why' in told ? [told.why] : []))[0]
    return judgeValue(gate, valueOf(candidate), valueOf(other), why)
  }
}

const valueOf = (told: Told | undefined) => (told && 'value' in told ? told.value : undefined)

/** What a webhook is sent. */
function questionOf(gate: string, { route, rule, candidate, step, steps, startedAt }: WatchedStep, variant: string) {
  return { route, rule, variant, candidate, gate, step, steps, stepStartedAt: new Date(startedAt).toISOString() }
}

function withQuery(to: Callee, query: string): Callee {
  const url = new URL(to.url)
  url.searchParams.set('query', query)
  return { ...to, url: url.href }
}

/** What went wrong with a call is the operator's business; whoever writes routes learns only what kind of thing it was. */
const failures: Readonly<Record<Unanswered['failed'], string>> = {
  refused: 'the address is not one that may be called',
  redirected: 'the answer is a redirect, which is not followed',
  too_large: 'the answer is too large',
  timeout: 'no answer in time',
  unreachable: 'nobody answers',
}

function parsed(answer: Answered | Unanswered): Readonly<{ json: unknown }> | Readonly<{ why: string }> {
  if ('failed' in answer) return { why: failures[answer.failed] }
  if (answer.status === 204) return { why: 'no data' }
  if (answer.status !== 200) return { why: `answered ${answer.status}` }
  try {
    return { json: JSON.parse(answer.body.toString()) as unknown }
  } catch {
    return { why: 'the answer is not JSON' }
  }
}

const member = (value: unknown, name: string): unknown => (typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined)

/** A number, `{"value": 0.3}`, or null in place of either for no data. */
function webhookValue(answer: Answered | Unanswered): Told {
  const body = parsed(answer)
  if ('why' in body) return body
  const value = typeof body.json === 'object' && body.json !== null ? member(body.json, 'value') : body.json
  if (value === null) return { why: 'no data' }
  return typeof value === 'number' && Number.isFinite(value) ? { value } : { why: 'the answer is no number, and has none as value' }
}

/** Of the HTTP API of Prometheus, an instant query: a scalar, or a vector of one. */
function promValue(answer: Answered | Unanswered): Told {
  const body = parsed(answer)
  if ('why' in body) return body
  const data = member(body.json, 'data')
  const [type, result] = [member(data, 'resultType'), member(data, 'result')]
  if (member(body.json, 'status') !== 'success' || !Array.isArray(result)) return { why: 'the answer is not one of the API of Prometheus' }
  if (type === 'scalar') return sampleOf(result)
  if (type !== 'vector') return { why: `the query gives a ${String(type).slice(0, 20)}, not a number` }
  if (result.length === 0) return { why: 'no data' }
  return result.length === 1 ? sampleOf(member(result[0], 'value')) : { why: `the query gives ${result.length} series; aggregate them, such as with sum()` }
}

function sampleOf(sample: unknown): Told {
  const text: unknown = Array.isArray(sample) ? sample[1] : undefined
  const value = typeof text === 'string' && text !== '' ? Number(text) : Number.NaN
  // A rate of nothing is NaN, a ratio to nothing Inf.
  return Number.isFinite(value) ? { value } : { why: 'no data' }
}
