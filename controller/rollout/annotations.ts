import { keyOf } from '../kubernetes/api.ts'
import type { About, Kept, RolloutsOptions } from './about.ts'
import { isMarked, parseCommand, unmarked, type Command } from './commands.ts'
import { Once } from './once.ts'

/** Does what is commanded; answers why not. `text`: of the annotation that it stands in. */
export type Obey = (key: string, rule: string, command: Command, text: string) => Promise<string | undefined>

/** Commands that stand in annotations of routes: each is marked, obeyed once, and taken away once. */
export class Annotations {
  readonly #options: Pick<RolloutsOptions, 'claim' | 'handled' | 'tell'>
  readonly #obey: Obey
  readonly #once = new Once()

  constructor(options: Pick<RolloutsOptions, 'claim' | 'handled' | 'tell'>, obey: Obey) {
    this.#options = options
    this.#obey = obey
  }

  /** Deals with those of a route that are new. */
  read({ about, resource, rules }: Kept): void {
    for (const [rule, text] of resource.commands ?? []) {
      if (!isMarked(text)) this.#options.claim(about, rule, text)
      else if (!this.#once.deal(about.uid, rule, text)) continue
      // Obeyed by whoever led before, who did not come to take it away.
      else if (rules.get(rule)?.decided.command === text) this.handled(about, rule, text)
      else void this.#dealWith(about, rule, text)
    }
  }

  /** It is done with, and may go. */
  handled(about: About, rule: string, text: string): void {
    if (this.#once.finish(about.uid, rule, text)) this.#options.handled(about, rule, text)
  }

  /** It is gone. */
  forget(uid: string, rule: string): void {
    this.#once.forget(uid, rule)
  }

  /** Others may have dealt with any of them since. */
  clear(): void {
    this.#once.clear()
  }

  async #dealWith(about: About, rule: string, text: string): Promise<void> {
    const plain = unmarked(text)
    const command = parseCommand(plain)
    const refused = typeof command === 'string' ? command : await this.#obey(keyOf(about.namespace, about.name), rule, command, text)
    if (refused === undefined) return
    this.#options.tell(about, rule, { type: 'Warning', reason: 'RolloutCommandRefused', message: `${plain}: ${refused}` })
    this.handled(about, rule, text)
  }
}
