import { isObject, isRecord, pathOf, type Api } from './api.ts'
import { sleep, systemClock, type Clock } from './clock.ts'
import type { Log } from '../log.ts'
import { MODEL_ROUTES } from './kinds.ts'

export type LeadershipOptions = Readonly<{
  api: Api
  /** None: all of them. */
  namespaces: readonly string[]
  /** Whether the lease is held, at this moment. */
  held: () => boolean
  /** Called with `status.rules` of every route, by uid, as the server has them now. */
  onLead: (statuses: ReadonlyMap<string, unknown>) => void
  log: Log
  clock?: Clock
}>

/**
 * Between holding the lease and deciding: the watch may not have brought yet what the leader before wrote last, and
 * who decided without that could take an abort back. So everything is read once more.
 */
export class Leadership {
  readonly #options: LeadershipOptions
  #ready = false
  #term = 0

  constructor(options: LeadershipOptions) {
    this.#options = options
  }

  get leading(): boolean {
    return this.#ready && this.#options.held()
  }

  begin(): void {
    void this.#begin(++this.#term)
  }

  end(): void {
    this.#term++
    this.#ready = false
  }

  async #begin(term: number): Promise<void> {
    const { held, onLead, log, clock = systemClock } = this.#options
    for (let wait = 100; term === this.#term && held(); wait = Math.min(wait * 2, 2_000)) {
      const statuses = await this.#read()
      if (term !== this.#term || !held()) return
      if (typeof statuses !== 'string') {
        this.#ready = true
        return onLead(statuses)
      }
      log('warn', 'the routes cannot be read, so nothing is decided yet', { error: statuses })
      await sleep(clock, wait, new AbortController().signal)
    }
  }

  async #read(): Promise<ReadonlyMap<string, unknown> | string> {
    const { api, namespaces } = this.#options
    const statuses = new Map<string, unknown>()
    for (const namespace of namespaces.length === 0 ? [undefined] : namespaces) {
      let page = ''
      do {
        const query = { limit: 500, ...(page !== '' && { continue: page }) }
        const answer = await api.call({ path: pathOf(MODEL_ROUTES, namespace), query })
        if (answer.status !== 200 || !isRecord(answer.body) || !Array.isArray(answer.body['items'])) return `${answer.status} ${answer.message}`
        for (const object of answer.body['items'].filter(isObject)) {
          if (isRecord(object['status'])) statuses.set(object.metadata.uid, object['status']['rules'])
        }
        const { metadata } = answer.body
        page = isRecord(metadata) && typeof metadata['continue'] === 'string' ? metadata['continue'] : ''
      } while (page !== '')
    }
    return statuses
  }
}
