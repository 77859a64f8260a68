import type { Decision, Limiter, Take, Verdict } from './limiter.ts'

/** A request that may wait for its limits. */
export type Wish = Readonly<{
  tenant: string
  takes: readonly Take[]
  /** For each take, how long requests may wait for it, in milliseconds, and how many; undefined: none may. */
  queues: readonly (Readonly<{ maxWait: number; maxDepth: number }> | undefined)[]
  /** Who asks: those that wait for one count take turns. */
  principal: string
  /** When the answer is of no use any more, in the time of `performance.now()`; undefined: never. */
  deadline: number | undefined
  /** Told what to do when the client has left. */
  onLeave: (leave: () => void) => void
}>

/** `queue`: why it waits no more, though it was not admitted; undefined: it was, or it could not wait. */
export type Waited = Readonly<{ decision: Decision; queue: 'full' | 'timeout' | 'left' | undefined }>

/** Requests of all limits that wait in this process at most. */
const ALL = 10_000
/** How often it is asked whether something was given back elsewhere: at first, and at last. Milliseconds. */
const POLL = 20
const POLL_MOST = 250
/** Proxies that wait for the same moment do not all come in the same millisecond. */
const APART = 10

type Waiter = {
  readonly wish: Wish
  /** Of the take that it waits for. */
  readonly position: number
  readonly finish: (waited: Waited) => void
  /** The last refusal. */
  refused: Decision
  over: boolean
  timer: NodeJS.Timeout | undefined
}

/** Those that wait for one count, by principal; the first principal is next. */
type Line = { key: string; waiting: Map<string, Waiter[]>; size: number; asking: boolean; again: boolean; poll: number; timer: NodeJS.Timeout | undefined }

/**
 * Requests that wait instead of being refused. One of each line asks at a time, so that however many wait, and on
 * however many proxies, the counts are asked a few times a second; who is admitted goes, and the next principal asks.
 */
export class Queues {
  readonly #limiter: Pick<Limiter, 'take' | 'settle'>
  readonly #lines = new Map<string, Line>()
  #size = 0

  constructor(limiter: Pick<Limiter, 'take' | 'settle'>) {
    this.#limiter = limiter
  }

  get size(): number {
    return this.#size
  }

  /** Takes at once or waits. Who comes while others wait for the same count waits behind them. */
  take(wish: Wish): Waited | Promise<Waited> {
    const ahead = wish.takes.findIndex(({ key }, i) => wish.queues[i] !== undefined && this.#lines.has(key))
    if (ahead >= 0) return this.#behind(wish, ahead)
    const decision = this.#limiter.take(wish.tenant, wish.takes)
    return decision instanceof Promise ? decision.then((one) => this.#tried(wish, one)) : this.#tried(wish, decision)
  }

  /** Something of these counts was given back. */
  poke(keys: readonly string[]): void {
    for (const key of keys) {
      const line = this.#lines.get(key)
      if (line === undefined) continue
      line.poll = POLL
      this.#ask(line)
    }
  }

  close(): void {
    for (const line of this.#lines.values()) {
      for (const waiter of [...line.waiting.values()].flat()) this.#end(line, waiter, 'left')
    }
  }

  #tried(wish: Wish, decision: Decision): Waited | Promise<Waited> {
    const position = decision.allowed || decision.unavailable ? -1 : waitsFor(wish, decision)
    return position < 0 ? { decision, queue: undefined } : this.#wait(wish, position, decision)
  }

  async #behind(wish: Wish, position: number): Promise<Waited> {
    const { verdicts, ...decision } = await this.#limiter.take(wish.tenant, wish.takes.map((take) => ({ ...take, units: 0, hold: false })))
    if (decision.unavailable) return { decision: { ...decision, verdicts }, queue: undefined }
    const refused = { ...decision, allowed: false, verdicts: verdicts.map((verdict, i) => (i === position ? { ...verdict, allows: false, retryAfter: Math.max(POLL, verdict.retryAfter) } : verdict)) }
    return this.#wait(wish, position, refused)
  }

  #wait(wish: Wish, position: number, refused: Decision): Waited | Promise<Waited> {
    const { takes, queues, deadline = Number.POSITIVE_INFINITY } = wish
    const [take, queue, verdict] = [takes[position], queues[position], refused.verdicts[position]]
    if (take === undefined || queue === undefined || verdict === undefined) return { decision: refused, queue: undefined }
    const patience = Math.min(queue.maxWait, deadline - performance.now())
    // What nobody gives back comes when the limit says, and that is too late.
    if (patience <= 0 || (!take.hold && verdict.retryAfter > patience)) return { decision: refused, queue: 'timeout' }
    const line = this.#lines.get(take.key) ?? this.#open(take.key)
    if (line.size >= queue.maxDepth || this.#size >= ALL) {
      if (line.size === 0) this.#lines.delete(line.key)
      return { decision: refused, queue: 'full' }
    }
    return new Promise((finish) => {
      const waiter: Waiter = { wish, position, finish, refused, over: false, timer: undefined }
      waiter.timer = setTimeout(() => this.#end(line, waiter, 'timeout'), patience)
      const list = line.waiting.get(wish.principal)
      if (list === undefined) line.waiting.set(wish.principal, [waiter])
      else list.push(waiter)
      line.size++
      this.#size++
      wish.onLeave(() => this.#end(line, waiter, 'left'))
      if (line.size === 1) this.#later(line, waiter, verdict)
    })
  }

  #open(key: string): Line {
    const line: Line = { key, waiting: new Map(), size: 0, asking: false, again: false, poll: POLL, timer: undefined }
    this.#lines.set(key, line)
    return line
  }

  /** Without being admitted. */
  #end(line: Line, waiter: Waiter, why: 'timeout' | 'left'): void {
    if (waiter.over) return
    this.#remove(line, waiter)
    waiter.finish({ decision: waiter.refused, queue: why })
  }

  #remove(line: Line, waiter: Waiter): void {
    waiter.over = true
    clearTimeout(waiter.timer)
    const { principal } = waiter.wish
    const rest = line.waiting.get(principal)?.filter((one) => one !== waiter) ?? []
    if (rest.length === 0) line.waiting.delete(principal)
    else line.waiting.set(principal, rest)
    line.size--
    this.#size--
    if (line.size > 0) return
    clearTimeout(line.timer)
    this.#lines.delete(line.key)
  }

  #ask(line: Line): void {
    clearTimeout(line.timer)
    line.again = true
    if (!line.asking) void this.#turns(line)
  }

  /** Asks for one after the other, as long as they are admitted. */
  async #turns(line: Line): Promise<void> {
    line.asking = true
    let passed = 0
    while (line.size > 0) {
      line.again = false
      const [[principal, [waiter]] = ['', []]] = line.waiting
      if (waiter === undefined) break
      const decision = await this.#limiter.take(waiter.wish.tenant, waiter.wish.takes)
      if (waiter.over) {
        // It left while it was asked for.
        if (decision.allowed) this.#limiter.settle(decision)
        continue
      }
      const verdict = decision.verdicts[waiter.position]
      if (decision.allowed || waitsFor(waiter.wish, decision) < 0) {
        turnTo(line, principal)
        this.#remove(line, waiter)
        waiter.finish({ decision, queue: undefined })
        line.poll = POLL
        continue
      }
      waiter.refused = decision
      // Another limit keeps it, and must not keep those behind it.
      if (verdict?.allows === true && ++passed < line.waiting.size) {
        turnTo(line, principal)
        continue
      }
      if (line.again) continue
      this.#later(line, waiter, verdict)
      break
    }
    line.asking = false
  }

  #later(line: Line, { wish: { takes } }: Waiter, verdict: Verdict | undefined): void {
    const told = verdict?.retryAfter ?? POLL
    const poll = line.poll * (0.5 + Math.random())
    line.poll = Math.min(POLL_MOST, line.poll * 1.5)
    const wait = takes.some(({ hold }) => hold) || verdict?.allows === true ? Math.min(told === 0 ? poll : told, poll) : told + Math.random() * APART
    clearTimeout(line.timer)
    line.timer = setTimeout(() => this.#ask(line), Math.min(wait, 60_000))
  }
}

/** The next is another's turn. */
function turnTo(line: Line, principal: string): void {
  const list = line.waiting.get(principal)
  if (list === undefined) return
  line.waiting.delete(principal)
  line.waiting.set(principal, list)
}

/** The position of the limit that a refused request can wait for; -1: one refuses that has no queue, or never will admit it. */
function waitsFor({ takes, queues }: Wish, { verdicts }: Decision): number {
  let found = -1
  for (const [i, { allows, retryAfter }] of verdicts.entries()) {
    if (allows || takes[i]?.shadow === true) continue
    if (queues[i] === undefined || retryAfter === Number.POSITIVE_INFINITY) return -1
    if (found < 0) found = i
  }
  return found
}
