import type { ConsoleState, Look } from '../table/console.ts'
import { mergePart, mergeStates } from './merge.ts'

/** States that are held at most before they are put together. */
const heldMax = 8

/**
 * What hundreds of proxies tell, put together as it comes. To hold all of it until the last one has answered is what most of a
 * look would cost: as much garbage of a second as the controller has of a minute.
 */
export class Sum {
  readonly #look: Look
  #first: ConsoleState | undefined
  #rest: ConsoleState[] = []

  /** @param look what is looked at of all of them */
  constructor(look: Look) {
    this.#look = look
  }

  add(state: ConsoleState): void {
    if (this.#first === undefined) this.#first = state
    else this.#rest.push(state)
    if (this.#first === undefined || this.#rest.length < heldMax) return
    this.#first = mergePart([this.#first, ...this.#rest], this.#look)
    this.#rest = []
  }

  /** Undefined where there was none. */
  state(): ConsoleState | undefined {
    return this.#first && mergeStates([this.#first, ...this.#rest], this.#look)
  }
}
