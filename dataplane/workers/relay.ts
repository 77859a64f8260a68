import { limiterOver } from '../limits/create.ts'
import type { Decision, Limiter, Take } from '../limits/limiter.ts'

/** A decision as it travels: in place of what settles it, whether there is something to settle, by its keys. */
export type Told = Omit<Decision, 'held'> & Readonly<{ keys: readonly string[] | undefined }>

export type LimitsToPrimary =
  | Readonly<{ type: 'take'; id: number; tenant: string; takes: readonly Take[] }>
  | Readonly<{ type: 'settle'; id: number; units: readonly number[] | undefined }>
export type LimitsToWorker = Readonly<{ type: 'decision'; id: number; decision: Told }>

/** The worker's end: its limits are counted by the primary, so that all workers count as one. */
export function relayedLimiter(send: (message: LimitsToPrimary) => void): Readonly<{ limiter: Limiter; hear(message: LimitsToWorker): void }> {
  const waiting = new Map<number, (decision: Decision) => void>()
  let last = 0
  return {
    limiter: limiterOver({
      take(tenant, takes) {
        const id = ++last
        send({ type: 'take', id, tenant, takes })
        return new Promise((resolve) => { waiting.set(id, resolve) })
      },
      settle: ({ held }, units) => held?.settle(units),
    }),
    hear({ id, decision: { keys, ...decision } }) {
      const held = keys && { keys, settle: (units: readonly number[] | undefined) => send({ type: 'settle', id, units }) }
      waiting.get(id)?.({ ...decision, held })
      waiting.delete(id)
    },
  }
}

/** The primary's end, for one worker. */
export function relayTo(limiter: Limiter, send: (message: LimitsToWorker) => void): Readonly<{ hear(message: LimitsToPrimary): void; gone(): void }> {
  const held = new Map<number, Decision>()
  let over = false

  async function take({ id, tenant, takes }: Extract<LimitsToPrimary, { type: 'take' }>): Promise<void> {
    const decision = await limiter.take(tenant, takes)
    const { held: reserved, ...told } = decision
    if (over) limiter.settle(decision)
    else if (reserved !== undefined) held.set(id, decision)
    send({ type: 'decision', id, decision: { ...told, keys: reserved?.keys } })
  }

  return {
    hear(message) {
      if (message.type === 'take') {
        void take(message)
        return
      }
      const decision = held.get(message.id)
      held.delete(message.id)
      if (decision !== undefined) limiter.settle(decision, message.units)
    },
    // What it had reserved, nobody will settle any more.
    gone() {
      over = true
      for (const decision of held.values()) limiter.settle(decision)
      held.clear()
    },
  }
}
