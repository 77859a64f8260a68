import type { Balance } from '../../../table/resilience.ts'
import { mixed } from '../hash.ts'
import { createConsistentHash } from './consistent_hash.ts'
import { createInferenceAware } from './inference_aware.ts'
import { keyOf, type KeyOf } from './key.ts'
import { createLeastRequest } from './least_request.ts'
import { createPeakEwma } from './peak_ewma.ts'
import type { Member, Picker, Turn } from './pick.ts'
import { createRoundRobin } from './round_robin.ts'
import { createSlowStart } from './slow_start.ts'
import { createZoned } from './zone.ts'

export type PickerDeps = Readonly<{
  /** Where it stands, by zone; '' is all of them. */
  turns: Map<string, Turn>
  /** The proxy's own; undefined: nobody knows it, and no endpoint is nearer than another. */
  zone: string | undefined
  random?: () => number
  clock?: () => number
}>

const keyless: KeyOf = () => undefined

const policies = {
  RoundRobin: createRoundRobin,
  LeastRequest: createLeastRequest,
  PeakEWMA: createPeakEwma,
  ConsistentHash: createConsistentHash,
  InferenceAware: createInferenceAware,
} as const

/** The policy of a rule, for the endpoints of one of its variants. */
export function createPicker<M extends Member>(balance: Balance, { turns, zone, random = Math.random, clock = () => performance.now() }: PickerDeps): Picker<M> {
  const { policy, key, slowStart, zoneAware } = balance
  const hashKey = key === undefined ? keyless : keyOf(key)
  const create = (name: string): Picker<M> => {
    const turn = turns.get(name) ?? { next: 0 }
    turns.set(name, turn)
    return policies[policy]<M>({ turn, random, clock, keyOf: hashKey, slowStart: slowStart === undefined ? undefined : createSlowStart(slowStart) })
  }
  if (zoneAware !== true || zone === undefined) return create('')
  return createZoned(zone, create, (asker) => {
    const hash = hashKey(asker)
    return hash === undefined ? random() : mixed(hash ^ zoneSalt) / 2 ** 32
  })
}

/** So that the keys which leave a zone have nothing to do with where on the ring they are. */
const zoneSalt = 0x5bd1e995
