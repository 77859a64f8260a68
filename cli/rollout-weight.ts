import { reweighings } from '../controller/sources/weights.ts'
import type { Options } from './flags.ts'
import type { Place } from './rollout-place.ts'
import { ruleOf } from './rollout-rule.ts'

type Output = Readonly<{ stdout: (text: string) => void; stderr: (text: string) => void }>

/** Shows what weights would change; changes them where the user says so, since the manifest belongs to its owner. */
export async function setWeight({ operands: [, , named], weight, write }: Options<'rollout'>, place: Place, { stdout, stderr }: Output): Promise<number> {
  const seen = await place.read()
  const rule = ruleOf(seen, named)
  const changes = reweighings(seen.spec, `${seen.namespace}/${seen.name}`, rule, new Map(weight.map((pair) => pairOf(pair))))
  for (const { variant, from, to } of changes) stdout(`${rule} ${variant}: ${from} -> ${to}\n`)
  if (changes.length === 0) stdout(`${rule}: the weights are these already\n`)
  if (!write || changes.length === 0) {
    if (!write) stderr('nothing is changed; --write changes spec.rules[].backendRefs[].weight\n')
    return 0
  }
  if (place.reweigh === undefined) throw new Error('the manifest is in a file: -f FILE')
  await place.reweigh(seen, changes.map(({ change }) => change))
  return 0
}

/** values.ts has seen that it is one. */
function pairOf(pair: string): [variant: string, weight: number] {
  const equals = pair.lastIndexOf('=')
  return [pair.slice(0, equals), Number(pair.slice(equals + 1))]
}
