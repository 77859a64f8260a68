import type { Log } from '../log.ts'
import { statusOf } from '../rollout/recorded.ts'
import type { Rollouts } from '../rollout/rollouts.ts'
import type { RuleState } from '../rollout/state.ts'
import type { View } from '../statuses.ts'
import { KeptFile } from './files-kept.ts'
import { uidOf } from './files-objects.ts'

/** Over files, what the statuses are in a cluster: how far each rule is rolled out, so that a restart goes on from there. */
export class FileRollouts {
  readonly #file: KeptFile
  #kept = new Map<string, ReadonlyMap<string, RuleState>>()
  #recorder: Pick<Rollouts, 'observe' | 'recorded'> | undefined

  /** @param file undefined: they end with the process */
  constructor(file: string | undefined, log: Log) {
    this.#file = new KeptFile(file, 'states of rollouts', log)
  }

  async load(recorder: Pick<Rollouts, 'observe' | 'recorded'>): Promise<void> {
    this.#recorder = recorder
    for (const [route, rules] of await this.#file.load()) recorder.observe(uidIn(route), rules)
  }

  keep({ compiled, progress }: Pick<View, 'compiled' | 'progress'>): void {
    const now = new Map([...compiled.routes.keys()].flatMap((route) => {
      const { states } = progress(route)
      return states ? [[route, states] as const] : []
    }))
    const news = [...now].filter(([route, states]) => this.#kept.get(route) !== states)
    if (news.length === 0 && now.size === this.#kept.size) return
    this.#kept = now
    this.#file.keep(
      () => Object.fromEntries([...now].map(([route, states]) => [route, rulesOf(states)])),
      () => {
        for (const [route, states] of news) this.#recorder?.recorded(uidIn(route), rulesOf(states))
      },
    )
  }

  flush(): Promise<void> {
    return this.#file.flush()
  }
}

const rulesOf = (states: ReadonlyMap<string, RuleState>) => [...states].map(([name, state]) => statusOf(name, state))

function uidIn(route: string): string {
  const [namespace = '', name = ''] = route.split('/')
  return uidOf('ModelRoute', namespace, name)
}
