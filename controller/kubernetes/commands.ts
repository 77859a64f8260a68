import type { Log } from '../log.ts'
import { COMMAND } from '../sources/kubernetes-objects.ts'
import { pathOf, type Api } from './api.ts'
import type { Clock } from './clock.ts'
import { MODEL_ROUTES } from './kinds.ts'
import { Queue } from './queue.ts'

export type AnnotationOptions = Readonly<{ api: Api; leading: () => boolean; log: Log; clock?: Clock }>

/**
 * Takes away the annotations of commands that were dealt with. A patch of that one annotation, and only while it says
 * what was dealt with: nobody's newer command is lost, and nothing else of the object is touched.
 */
export class Annotations {
  readonly #options: AnnotationOptions
  readonly #queue: Queue

  constructor(options: AnnotationOptions) {
    const { log, clock } = options
    this.#options = options
    this.#queue = new Queue({ run: key => this.#remove(key), maxDelay: 30_000, log, ...(clock && { clock }) })
  }

  remove({ namespace, name }: Readonly<{ namespace: string; name: string }>, rule: string, text: string): void {
    this.#queue.add(JSON.stringify([namespace, name, rule, text]))
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  async #remove(key: string): Promise<'done' | 'retry'> {
    const { api, leading } = this.#options
    if (!leading()) return 'done'
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written above
    const [namespace, name, rule, value] = JSON.parse(key) as [string, string, string, string]
    const path = `/metadata/annotations/${COMMAND.replace('/', '~1')}${rule}`
    const answer = await api.call({
      method: 'PATCH',
      path: pathOf(MODEL_ROUTES, namespace, name),
      query: { fieldManager: 'modelroute-controller' },
      contentType: 'application/json-patch+json',
      body: [{ op: 'test', path, value }, { op: 'remove', path }],
    })
    // 422: it says something else by now. 404: the route is gone.
    return [200, 404, 422].includes(answer.status) ? 'done' : 'retry'
  }
}
