import type { Predictions } from '../../table/predictions.ts'
import type { Problem } from '../sources/snapshot.ts'
import { invalid } from './problems.ts'
import type { RuleSpec } from './spec.ts'

/** Undefined: no prediction is logged. */
export function compilePredictions({ logging, backendRefs = [] }: RuleSpec, own: string, place: string, problems: Problem[]): Predictions | undefined {
  const spec = logging?.predictions
  if (spec === undefined) return undefined
  const { samplePercent: percent, bodies = 'None', redact = [] } = spec
  if (bodies === 'Redacted' && redact.length === 0) {
    problems.push(invalid(`${place}.redact`, 'nothing would be blotted out; name the values, such as /instances/*/ssn, or say bodies: Full'))
  }
  if (bodies !== 'Redacted' && redact.length > 0) {
    problems.push(invalid(`${place}.redact`, `is for bodies: Redacted, and of bodies: ${bodies} nothing would be blotted out; say bodies: Redacted`))
  }
  redact.forEach((pointer, at) => {
    if (pointer === '') problems.push(invalid(`${place}.redact[${at}]`, 'is the whole body; say bodies: None'))
  })
  if (percent === 0) return undefined
  const services = backendRefs.flatMap(({ kind, variant, name, namespace = own, component = 'predictor' }) =>
    kind === 'InferenceService' && name !== undefined ? [{ variant, name, namespace, component }] : [])
  return { percent, bodies, redact: [...redact], ...(services.length > 0 && { services }) }
}
