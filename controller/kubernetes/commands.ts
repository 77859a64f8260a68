import { randomBytes } from 'node:crypto'
import type { Log } from '../log.ts'
import { markedAs } from '../rollout/commands.ts'
import { COMMAND } from '../sources/kubernetes-objects.ts'
import { pathOf, type Api } from './api.ts'
import type { Clock } from './clock.ts'
import { MODEL_ROUTES } from './kinds.ts'
import { Queue, type Work } from './queue.ts'

export type AnnotationOptions = Readonly<{ api: Api; leading: () => boolean; log: Log; clock?: Clock }>

type What = Readonly<{ namespace: string; name: string }>

/**
 * Marks the annotations of commands, and takes away those that were dealt with. A patch of that one annotation, and only
 * while it says what was dealt with: nobody's newer command is lost, and nothing else of the object is touched.
 */
export class Annotations {
  readonly #options: AnnotationOptions
  readonly #queue: Queue

  constructor(options: AnnotationOptions) {
    const { log, clock } = options
    this.#options = options
    this.#queue = new Queue({ run: key => this.#patch(key), maxDelay: 30_000, log, ...(clock && { clock }) })
  }

  get work(): Work {
    return this.#queue
  }

  claim({ namespace, name }: What, rule: string, text: string): void {
    this.#queue.add(JSON.stringify(['claim', namespace, name, rule, text]))
  }

  remove({ namespace, name }: What, rule: string, text: string): void {
    this.#queue.add(JSON.stringify(['remove', namespace, name, rule, text]))
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  async #patch(key: string): Promise<'done' | 'retry'> {
    const { api, leading } = this.#options
    if (!leading()) return 'done'
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written above
    const [what, namespace, name, rule, value] = JSON.parse(key) as ['claim' | 'remove', string, string, string, string]
    const path = `/metadata/annotations/${COMMAND.replace('/', '~1')}${rule}`
    const answer = await api.call({
      method: 'PATCH',
      path: pathOf(MODEL_ROUTES, namespace, name),
      query: { fieldManager: 'modelroute-controller' },
      contentType: 'application/json-patch+json',
      body: [{ op: 'test', path, value }, what === 'remove' ? { op: 'remove', path } : { op: 'replace', path, value: markedAs(value, randomBytes(4).toString('hex')) }],
    })
    // 422: it says something else by now. 404: the route is gone.
    return [200, 404, 422].includes(answer.status) ? 'done' : 'retry'
  }
}
