import { changedMap, differences } from '../../table/changes.ts'
import type { ModelRoute } from '../../crds/types.gen.ts'
import type { Compiled, RouteOutcome } from '../compile/compiled.ts'
import { keyOf } from '../kubernetes/api.ts'
import type { Resource, Snapshot } from '../sources/snapshot.ts'
import { Alarm } from './alarm.ts'
import type { Kept, RolloutsOptions } from './about.ts'
import { Annotations } from './annotations.ts'
import { obey, type Command, type Earlier } from './commands.ts'
import { adopted, decide, due, entryOf, factsOf, next, putInForce, sameMove, watched, type Around, type Moment, type Rolled } from './entry.ts'
import type { WatchedStep } from './judge.ts'
import type { News } from './machine.ts'
import { fromStatus } from './recorded.ts'
import { underWay, type RuleState } from './state.ts'

export type { About } from './about.ts'

/** The rollouts of every route: what is decided, what is recorded, and what the compiler is to put in force. */
export class Rollouts {
  readonly #options: RolloutsOptions
  readonly #kept = new Map<string, Kept>()
  /** `status.rules` by uid, as it was last seen on the server or in the file. */
  readonly #seen = new Map<string, unknown>()
  readonly #keys = new Map<string, string>()
  readonly #annotations: Annotations
  #table: NonNullable<Snapshot['rollouts']> = new Map()
  /** Routes whose part of the table is another one than it says. */
  readonly #moved = new Set<string>()
  /** Of which something is under way. */
  readonly #going = new Set<Kept>()
  /** What was taken last. */
  #resources: Snapshot['modelRoutes'] = new Map()
  #outcomes: Compiled['routes'] = new Map()
  readonly #alarm: Alarm
  #stopped = false

  constructor(options: RolloutsOptions) {
    this.#options = options
    this.#annotations = new Annotations(options, (key, rule, command, text) => this.#obey(key, rule, command, text))
    this.#alarm = new Alarm(options.clock, () => this.#tick())
  }

  /** Beside a snapshot, what is in force of it. The same map until something moves. */
  get table(): NonNullable<Snapshot['rollouts']> {
    const news = [...this.#moved].map((key) => [key, this.#kept.get(key)?.table] as const)
    this.#moved.clear()
    return (this.#table = changedMap(this.#table, news))
  }

  /** To be recorded of a route. The same map until something was decided. */
  states(key: string): ReadonlyMap<string, RuleState> | undefined {
    return this.#kept.get(key)?.states
  }

  /** Every rule that has a rollout or is undone. */
  *[Symbol.iterator](): Iterator<Rolled> {
    for (const [route, { rules, around }] of this.#kept) {
      for (const [rule, { inForce }] of rules) {
        const delivery = around.get(rule)?.delivery
        if (delivery?.plan || inForce.undone) yield { route, rule, state: inForce, delivery }
      }
    }
  }

  /** `status.rules` of a route as others see it. Who does not lead puts it in force. */
  observe(uid: string, rules: unknown): void {
    this.#seen.set(uid, rules)
    if (this.#options.leading()) return
    const kept = this.#byUid(uid)
    if (kept && this.#adopt(kept)) this.#options.moved()
  }

  /** What was decided has been written down, and what of it waited for that takes effect. */
  recorded(uid: string, rules: unknown): void {
    this.#seen.set(uid, rules)
    const kept = this.#byUid(uid)
    if (!kept) return
    const written = fromStatus(rules)
    let moved = false
    for (const [rule, entry] of kept.rules) {
      const state = written.get(rule)
      if (!state || !sameMove(state, entry.decided)) continue
      if (putInForce(entry, this.#options.clock.now())) moved = true
      if (state.command !== undefined) this.#annotations.handled(kept.about, rule, state.command)
    }
    if (this.#turn(kept) || moved) this.#options.moved()
    this.#schedule()
  }

  /** Looks at what was compiled; true where it has to be compiled again, since something is to be otherwise at once. */
  take(snapshot: Snapshot, compiled: Compiled): boolean {
    const keys = new Set([...differences(this.#resources, snapshot.modelRoutes), ...differences(this.#outcomes, compiled.routes)])
    this.#resources = snapshot.modelRoutes
    this.#outcomes = compiled.routes
    let again = false
    for (const key of keys) {
      const kept = this.#kept.get(key)
      const resource = snapshot.modelRoutes.get(key)
      const outcome = compiled.routes.get(key)
      const same = kept !== undefined && resource?.uid === kept.about.uid
      if (kept && (!same || !outcome)) this.#forget(key, kept)
      if (!resource || !outcome || (same && kept.outcome === outcome && kept.resource === resource)) continue
      if (this.#look(key, resource, outcome, same ? kept : undefined)) again = true
    }
    this.#schedule()
    return again
  }

  /** After a change of leadership, with what the server has now: a watch may be behind. */
  lead(statuses: ReadonlyMap<string, unknown>): void {
    for (const [uid, rules] of statuses) this.#seen.set(uid, rules)
    this.#annotations.clear()
    for (const kept of this.#kept.values()) this.#adopt(kept)
    for (const kept of this.#kept.values()) this.#turn(kept)
    this.#options.moved()
    this.#options.changed()
    this.#schedule()
  }

  /** Somebody gives a command. The answer is why it is refused; undefined: it is obeyed. */
  async command(key: string, rule: string, command: Omit<Command, 'specHash'> & { readonly specHash?: string }): Promise<string | undefined> {
    const kept = this.#kept.get(key)
    const around = kept?.around.get(rule)
    if (!kept || !around) return kept ? `route ${key} has no rule ${rule} with backendRefs in force` : `there is no route ${key}`
    return this.#obey(key, rule, { ...command, specHash: command.specHash ?? around.delivery.specHash })
  }

  /** A judgement is there that was not there before. */
  wake(): void {
    if (!this.#stopped) this.#tick()
  }

  stop(): void {
    this.#stopped = true
    this.#alarm.stop()
  }

  #byUid(uid: string): Kept | undefined {
    return this.#kept.get(this.#keys.get(uid) ?? '')
  }

  #forget(key: string, kept: Kept): void {
    const { about, rules } = kept
    this.#kept.delete(key)
    this.#going.delete(kept)
    this.#keys.delete(about.uid)
    this.#seen.delete(about.uid)
    for (const rule of rules.keys()) this.#annotations.forget(about.uid, rule)
    this.#moved.add(key)
  }

  #look(key: string, resource: Resource<ModelRoute>, outcome: RouteOutcome, before: Kept | undefined): boolean {
    const around = new Map((outcome.deliveries ?? []).map((delivery) => {
      const backends = outcome.rules.find(({ name }) => name === delivery.name)?.backends ?? []
      const endpoints = new Map(backends.map(({ variant, endpoints }) => [variant, endpoints]))
      return [delivery.name, { route: key, rule: delivery.name, delivery, endpoints }] as const
    }))
    const { namespace, name, uid, generation } = resource
    const kept: Kept = {
      about: { namespace, name, uid, generation }, resource, outcome, around,
      rules: new Map(), table: before?.table ?? new Map(), states: before?.states ?? new Map(),
    }
    if (before) this.#going.delete(before)
    this.#kept.set(key, kept)
    this.#keys.set(uid, key)
    // A rule that nothing is in force of, but that is still written, has not become another one by that.
    const written = [...(resource.object?.spec.rules ?? []), ...(resource.broken ?? [])].map((rule) => rule.name)
    for (const [rule, entry] of before?.rules ?? []) {
      if (around.has(rule) || resource.object === undefined || written.includes(rule)) kept.rules.set(rule, entry)
    }
    const moved = before ? false : this.#adopt(kept)
    return this.#turn(kept) || moved
  }

  /** Takes over what is recorded, from whoever decided it. */
  #adopt(kept: Kept): boolean {
    const states = fromStatus(this.#seen.get(kept.about.uid))
    for (const [rule, state] of states) {
      const around = kept.around.get(rule)
      const entry = kept.rules.get(rule)
      if (entry && sameMove(entry.decided, state) && sameMove(entry.inForce, state)) continue
      kept.rules.set(rule, around ? adopted(state, around, this.#moment()) : entryOf(state, this.#options.clock.now()))
    }
    return this.#tidy(kept)
  }

  /** One turn of every rule of a route; true where something is to be in force that is not. */
  #turn(kept: Kept): boolean {
    if (this.#options.leading()) {
      for (const [rule, around] of kept.around) {
        const entry = kept.rules.get(rule)
        const turn = next(entry, around, this.#options.analyst, this.#moment())
        if (turn) this.#settle(kept, rule, around, turn)
      }
      this.#commands(kept)
    }
    return this.#tidy(kept)
  }

  #settle(kept: Kept, rule: string, around: Around, { state, news }: Readonly<{ state: RuleState; news?: News }>): void {
    const entry = kept.rules.get(rule)
    const { clock, tell } = this.#options
    if (!entry) kept.rules.set(rule, entryOf(state, clock.now()))
    else if (state !== entry.decided) decide(entry, state, around, clock.now())
    if (news) tell(kept.about, rule, news)
  }

  /** Rebuilds what others look at, where it is other than before. */
  #tidy(kept: Kept): boolean {
    let moved = false
    if (kept.table.size !== kept.rules.size || [...kept.rules].some(([rule, { rollout }]) => kept.table.get(rule) !== rollout)) {
      const table = new Map([...kept.rules].map(([rule, { rollout }]) => [rule, rollout]))
      // Of the others nothing is in force but their targets, and the compiler does not ask.
      moved = [...kept.around].some(([rule, { delivery }]) => delivery.plan || table.get(rule)?.undone !== kept.table.get(rule)?.undone)
      kept.table = table
      this.#moved.add(keyOf(kept.about.namespace, kept.about.name))
    }
    if ([...kept.rules.values()].some(({ decided }) => underWay(decided))) this.#going.add(kept)
    else this.#going.delete(kept)
    if (kept.states.size !== kept.rules.size || [...kept.rules].some(([rule, { decided }]) => kept.states.get(rule) !== decided)) {
      kept.states = new Map([...kept.rules].map(([rule, { decided }]) => [rule, decided]))
      this.#options.changed(keyOf(kept.about.namespace, kept.about.name))
    }
    return moved
  }

  #commands(kept: Kept): void {
    this.#annotations.read(kept)
    for (const [rule, entry] of kept.rules) {
      if (kept.resource.commands?.has(rule)) continue
      this.#annotations.forget(kept.about.uid, rule)
      const around = kept.around.get(rule)
      const { command, ...rest } = entry.decided
      if (around && command !== undefined) decide(entry, rest, around, this.#options.clock.now())
    }
  }

  /** @param text of the annotation that it stands in */
  async #obey(key: string, rule: string, command: Command, text?: string): Promise<string | undefined> {
    const about = this.#kept.get(key)?.about
    if (!about) return `there is no route ${key}`
    let history: readonly Earlier[] = []
    try {
      if (command.action === 'undo') history = await this.#options.history(about)
    } catch (error) {
      return `the revisions cannot be read: ${String(error)}`
    }
    const kept = this.#kept.get(key)
    const around = kept?.around.get(rule)
    const entry = kept?.rules.get(rule)
    if (!this.#options.leading() || !kept || !around || !entry || kept.about.uid !== about.uid) return 'another controller leads, or the rule is gone'
    const facts = factsOf(entry, around, this.#options.analyst, this.#moment())
    const turn = obey(entry.decided, command, facts, rule, history)
    if (typeof turn === 'string') return turn
    this.#settle(kept, rule, around, text === undefined ? turn : { ...turn, state: { ...turn.state, command: text } })
    if (this.#turn(kept)) this.#options.moved()
    this.#schedule()
    return undefined
  }

  #moment(): Moment {
    const { clock } = this.#options
    return { monotonic: clock.now(), date: clock.date() }
  }

  #tick(): void {
    let moved = false
    const steps: WatchedStep[] = []
    for (const kept of this.#going) {
      if (this.#turn(kept)) moved = true
      for (const [rule, around] of kept.around) {
        const entry = kept.rules.get(rule)
        const step = entry && watched(entry, around)
        if (step) steps.push(step)
      }
    }
    this.#options.analyst.keep(steps)
    if (moved) this.#options.moved()
    this.#schedule()
  }

  #schedule(): void {
    const now = this.#options.clock.now()
    let soonest = Infinity
    for (const { rules, around } of this.#stopped || !this.#options.leading() ? [] : this.#going) {
      for (const [rule, entry] of rules) {
        const of = around.get(rule)
        soonest = Math.min(soonest, (of && due(entry, of, now)) ?? Infinity)
      }
    }
    this.#alarm.set(Math.max(1, soonest))
  }
}
