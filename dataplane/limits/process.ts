import { adjust, advance, charge, expiryOf, fits, verdictOf, WIDTH, type State } from './algorithms.ts'
import { Counts, type Part } from './counts.ts'
import type { Decision, Held, Take, Verdict } from './limiter.ts'

export type ProcessStoreOptions = Readonly<{
  /** Milliseconds since the epoch. */
  now?: () => number
  /** How many counts it keeps apart; what happens beyond is said in `Part.open`. */
  most?: number
}>

/** Counts in this process: exact in it, and unknown to every other. */
export type ProcessStore = Readonly<{
  take(takes: readonly Take[]): Decision
  /** What is used of a limit now: the three cells of its state, a log's sum as the second. */
  used(take: Take): readonly [number, number, number]
  /** How many counts there are. */
  size(): number
}>

/** One state that does not exist: nothing has been used. */
const nothing: State = { cells: new Float64Array(WIDTH), at: 0, log: undefined }

export function createProcessStore({ now = Date.now, most = 1 << 20 }: ProcessStoreOptions = {}): ProcessStore {
  const counts = new Counts(most)
  /** Of the takes in hand, from the first look to the charge: a decision is one step, so that they serve every one. */
  const slots: (number | undefined)[] = []
  const parts: Part[] = []
  const allows: boolean[] = []

  function stateOf(part: Part, slot: number, { algorithm }: Take, time: number): State {
    return { cells: part.cells, at: slot * WIDTH, log: algorithm.type === 'SlidingLog' ? part.log(slot, time) : undefined }
  }

  /** The state that a take is about, brought to the present. One that only looks makes none. */
  function open(part: Part, take: Take, time: number): number | undefined {
    const slot = take.units > 0 || take.hold ? part.open(take.key, time) : part.find(take.key, time)
    if (slot !== undefined) advance(stateOf(part, slot, take, time), take, time)
    return slot
  }

  return {
    size: () => counts.size,
    used(take) {
      const time = now()
      const part = counts.part(take.key)
      const slot = open(part, { ...take, units: 0, hold: false }, time)
      if (slot === undefined) return [0, 0, 0]
      const { cells, at, log } = stateOf(part, slot, take, time)
      return log === undefined ? [cells[at] ?? 0, cells[at + 1] ?? 0, cells[at + 2] ?? 0] : [0, log.sum, 0]
    },
    take(takes) {
      const time = now()
      let allowed = true
      for (let i = 0; i < takes.length; i++) {
        const take = takes[i]
        if (take === undefined) continue
        const part = counts.part(take.key)
        const slot = open(part, take, time)
        const allow = fits(slot === undefined ? fresh(take, time) : stateOf(part, slot, take, time), take, time)
        parts[i] = part
        slots[i] = slot
        allows[i] = allow
        if (!allow && !take.shadow) allowed = false
      }

      const verdicts: Verdict[] = []
      let holds: Hold[] | undefined
      for (let i = 0; i < takes.length; i++) {
        const take = takes[i]
        const part = parts[i]
        const slot = slots[i]
        const allow = allows[i] === true
        if (take === undefined || part === undefined) continue
        const state = slot === undefined ? fresh(take, time) : stateOf(part, slot, take, time)
        if (allowed && allow && slot !== undefined) {
          const where = charge(state, take, time)
          part.expires[slot] = expiryOf(state, take, time)
          if (take.hold) (holds ??= []).push({ take, part, slot, key: part.keyAt(slot), where, position: i })
        }
        verdicts.push(verdictOf(state, take, time, allow))
      }
      const held = holds && settler(holds)
      return { allowed, unavailable: false, by: 'process', verdicts, held }
    },
  }

  function fresh(take: Take, time: number): State {
    nothing.cells.fill(0)
    advance(nothing, take, time)
    return nothing
  }

  function settler(holds: readonly Hold[]): Held {
    return {
      keys: holds.map(({ take }) => take.key),
      settle(units) {
        const time = now()
        for (const { take, part, slot, key, where, position } of holds) {
          // In the meantime it may have expired, and the slot be another's.
          if (part.keyAt(slot) !== key) continue
          const state = stateOf(part, slot, take, time)
          advance(state, take, time)
          const actual = take.algorithm.type === 'Concurrency' ? 0 : units?.[position] ?? 0
          adjust(state, take, where, actual - take.units)
          part.expires[slot] = expiryOf(state, take, time)
        }
      },
    }
  }
}

/** One reservation. `key`: of its count, which may be a shared one. */
type Hold = Readonly<{ take: Take; part: Part; slot: number; key: string | undefined; where: number; position: number }>
