import type { Decision, Held, Take } from '../limiter.ts'
import type { LocalHold, Outage } from './failure.ts'
import { readTaken, takeFrame, type Question, type Taken } from './frames.ts'
import type { Lane } from './lane.ts'
import type { Reservation, Reservations } from './reservations.ts'
import { Op, takeScript, type Script } from './script.ts'

/** One server: whether it answers, and what is decided without it while it does not. */
export type Line = {
  readonly server: string
  readonly lane: Lane
  outage: Outage | undefined
  /** Charged in this outage for requests that the server may have counted as well. */
  readonly doubts: Set<LocalHold>
}

export type QuestionsDeps = Readonly<{
  tenant: string
  line: () => Line
  call: (script: Script, keys: readonly string[], args: readonly (Buffer | string)[]) => Promise<Buffer>
  keyOf: (key: string) => string
  reservations: Reservations
  /** What the server said of a take. */
  heard: (take: Take, verdict: Decision['verdicts'][number]) => void
  nextSequence: () => number
  self: string
}>

/** Calls on their way at once. Whatever is asked meanwhile goes together in the next. */
const CALLS = 2
/** Limits in one call: a server must not be kept from others for long. */
const LIMITS = 256

type Instead = Readonly<{ hold: LocalHold | undefined; allowed: boolean }>
/** One request. `instead`: what was decided without the server. */
type Asked = Question & { readonly resolve: (decision: Decision) => void; instead: Instead | undefined }

/** What requests of one tenant ask of the store: gathered into few calls, each answered as a whole, none sent twice. */
export class Questions {
  /** Where they went last. */
  line: Line | undefined
  readonly #deps: QuestionsDeps
  #queue: Asked[] = []
  #calls = 0
  #scheduled = false

  constructor(deps: QuestionsDeps) {
    this.#deps = deps
  }

  ask(takes: readonly Take[]): Promise<Decision> {
    return new Promise((resolve) => {
      this.#queue.push({ takes, sequence: this.#deps.nextSequence(), resolve, instead: undefined })
      if (this.#scheduled || this.#calls >= CALLS) return
      this.#scheduled = true
      // After all requests that have arrived by now.
      setImmediate(() => {
        this.#scheduled = false
        this.#send()
      })
    })
  }

  /** What was not sent yet is decided without the server: it is out of reach. */
  giveUp(outage: Outage): void {
    const queue = this.#queue
    this.#queue = []
    for (const { takes, resolve } of queue) resolve(outage.decide(this.#deps.tenant, takes).decision)
  }

  #send(): void {
    while (this.#queue.length > 0 && this.#calls < CALLS) {
      const line = this.#deps.line()
      if (line.outage !== undefined) this.giveUp(line.outage)
      else void this.#call(line, this.#next())
    }
  }

  #next(): Asked[] {
    let limits = 0
    const end = this.#queue.findIndex(({ takes }, i) => (limits += takes.length) > LIMITS && i > 0)
    if (end < 0) {
      const all = this.#queue
      this.#queue = []
      return all
    }
    return this.#queue.splice(0, end)
  }

  async #call(line: Line, asked: readonly Asked[]): Promise<void> {
    const { call, keyOf } = this.#deps
    const keys: string[] = []
    for (const { takes } of asked) {
      const first = keys.length
      for (const { key } of takes) keys.push(keyOf(key))
      for (const [i, { hold }] of takes.entries()) if (hold) keys.push(`${keys[first + i] ?? ''}:held`)
    }
    this.#calls++
    this.line = line
    let given = false
    const waiting = line.lane.add(() => {
      // Its answer may never come, and nobody is to wait behind it.
      given = true
      this.#calls--
      for (const one of asked) this.#decide(line, one, true)
      this.#send()
    })
    try {
      const answer = await call(takeScript, keys, [takeFrame(asked, 0), ...asked.map((one) => this.#nameOf(one))])
      const taken = readTaken(answer, asked)
      line.lane.remove(waiting, taken !== undefined)
      for (const [i, one] of asked.entries()) {
        const of = taken?.[i]
        if (of === undefined) this.#fail(line, one, 'it answers something else', true)
        else if (one.instead === undefined) one.resolve(this.#decisionOf(one, of))
        else this.#late(line, one, of, one.instead)
      }
    } catch (error) {
      line.lane.remove(waiting, false)
      const why = error instanceof Error ? error : new Error('')
      for (const one of asked) this.#fail(line, one, why.message, !untouched(why))
    }
    if (given) return
    this.#calls--
    this.#send()
  }

  /** What its reservations are called; empty where it reserves nothing. */
  #nameOf({ takes, sequence }: Asked): string {
    return takes.some(({ hold }) => hold) ? `${this.#deps.self}${sequence.toString(36)}` : ''
  }

  /** @param doubtful whether the server may have counted it all the same */
  #fail(line: Line, asked: Asked, why: string, doubtful: boolean): void {
    if (asked.instead !== undefined) return
    if (line.outage === undefined) line.lane.give(why)
    this.#decide(line, asked, doubtful)
  }

  #decide(line: Line, asked: Asked, doubtful: boolean): void {
    if (line.outage === undefined || asked.instead !== undefined) return
    const { decision, hold } = line.outage.decide(this.#deps.tenant, asked.takes)
    asked.instead = { hold, allowed: decision.allowed }
    if (doubtful && hold !== undefined && !hold.reserves) line.doubts.add(hold)
    asked.resolve(decision)
  }

  #decisionOf(asked: Asked, taken: Taken): Decision {
    const { allowed, verdicts } = taken
    for (const [i, take] of asked.takes.entries()) {
      const verdict = verdicts[i]
      if (verdict !== undefined) this.#deps.heard(take, verdict)
    }
    const ours = allowed ? this.#reserved(asked, taken) : []
    const { reservations } = this.#deps
    const held: Held | undefined = ours.every((one) => one === undefined) ? undefined : {
      keys: ours.flatMap((one) => (one === undefined ? [] : [one.key])),
      settle(units) {
        for (const [i, one] of ours.entries()) if (one !== undefined) reservations.settle(one, units?.[i] ?? 0)
      },
    }
    return { allowed, unavailable: false, by: 'store', verdicts, held }
  }

  /** What the store reserved for a request, by position. */
  #reserved(asked: Asked, { verdicts, where }: Taken): (Reservation | undefined)[] {
    const { tenant, reservations } = this.#deps
    const id = this.#nameOf(asked)
    if (id === '') return []
    return asked.takes.map(({ key, algorithm, amount, units, hold }, i) => {
      if (!hold || verdicts[i]?.allows !== true) return undefined
      const one = { tenant, key, algorithm, amount, units, id, where: where[i] ?? 0, since: performance.now() }
      reservations.add(one)
      return one
    })
  }

  /** The server answers after it was decided without it: what is counted in both places is taken back in one. */
  #late(line: Line, asked: Asked, taken: Taken, { hold, allowed }: Instead): void {
    const doubted = hold !== undefined && line.doubts.delete(hold)
    if (!taken.allowed) return
    // Taken for counted there at the end of the outage, and so it is.
    if (allowed && hold !== undefined && !hold.reserves && (!doubted || hold.replace([]))) return
    const ours = this.#reserved(asked, taken)
    if (allowed && hold?.reserves === true && hold.replace(ours)) return
    const { tenant, reservations } = this.#deps
    for (const one of ours) if (one !== undefined) reservations.settle(one, 0)
    for (const [i, { key, algorithm, amount, units, hold: held }] of asked.takes.entries()) {
      if (held || units === 0 || taken.verdicts[i]?.allows !== true || (allowed && hold === undefined)) continue
      reservations.send(tenant, { op: Op.adjust, key, algorithm, amount, numbers: [-units, taken.where[i] ?? 0, 0, 0], id: '' })
    }
  }
}

/** Whether an error says that nothing was counted: Redis refused it, or it was never sent. */
const untouched = (error: Error) => error.name === 'ReplyError' || error.message.startsWith("Stream isn't writeable")
