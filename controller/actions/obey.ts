import type { RouteOutcome } from '../compile/compiled.ts'
import type { Log } from '../log.ts'
import type { Mode } from '../modes/mode.ts'
import type { RolloutAnswer, RolloutRequest } from '../rollout/page.ts'
import { statusOf } from '../rollout/recorded.ts'
import type { News } from '../rollout/machine.ts'
import type { About, Rollouts } from '../rollout/rollouts.ts'
import type { ModelRoute } from '../../crds/types.gen.ts'
import type { Resource } from '../sources/snapshot.ts'
import type { Actor } from './access.ts'

export type ObeyDeps = Readonly<{
  /** A route as it was read last, and what became of it. */
  route: (key: string) => Readonly<{ resource: Resource<ModelRoute> | undefined; outcome: RouteOutcome | undefined }>
  mode: Pick<Mode, 'leading' | 'reweigh' | 'passOn'>
  rollouts: Pick<Rollouts, 'command' | 'states'>
  /** Events and history. */
  tell: (about: About, rule: string, news: News) => void
  log: Log
}>

/** Obeys commands, and writes down whose they were: what was done, and what was refused. */
export function createObey({ route, mode, rollouts, tell, log }: ObeyDeps): (request: RolloutRequest, actor: Actor) => Promise<RolloutAnswer> {
  async function obey(request: RolloutRequest, actor: Actor): Promise<RolloutAnswer> {
    const { namespace, route: called, rule, action, revision, specHash } = request
    const denied = await actor.may?.(namespace, called)
    if (denied) return { status: denied.status, refused: denied.error }
    const key = `${namespace}/${called}`
    const { resource, outcome } = route(key)
    const rules = outcome?.rules ?? []
    const name = rule ?? (rules.length === 1 ? rules[0]?.name : undefined)
    if (resource === undefined || !rules.some((each) => each.name === name) || name === undefined) {
      const there = rules.map((each) => each.name).join(', ')
      return { status: 404, refused: rules.length === 0 ? `nothing of a route ${key} is in force` : `which rule of ${key}? There are ${there}` }
    }
    const at = outcome?.deliveries?.find((delivery) => delivery.name === name)?.specHash
    if (action === 'set-weight') {
      if (specHash !== undefined && specHash !== at) return { status: 409, refused: `it is for ${specHash}, and the rule is at ${at ?? 'nothing'} now: it was edited since` }
      const refused = await mode.reweigh(resource, name, request.weights ?? [], actor.token)
      if (refused !== undefined) return { status: 409, refused }
    } else if (!mode.leading()) {
      if (actor.token === undefined || mode.passOn === undefined) return { status: 503, refused: 'another controller leads; ask that one, or annotate the route' }
      const text = `${action}${revision === undefined ? '' : `:${revision}`}@${specHash ?? at ?? ''}`
      const refused = await mode.passOn(resource, name, text, actor.token)
      if (refused !== undefined) return { status: 409, refused }
    } else {
      const refused = await rollouts.command(key, name, {
        action, ...(revision !== undefined && { revision }), ...(specHash !== undefined && { specHash }),
      })
      if (refused !== undefined) return { status: 409, refused }
    }
    tell(resource, name, { type: 'Normal', reason: 'RolloutCommand', message: `${wordsOf(request)} by ${actor.name} from ${actor.from}` })
    const state = rollouts.states(key)?.get(name)
    return { rule: state && statusOf(name, state) }
  }

  return async (request, actor) => {
    const answer = await obey(request, actor)
    const { namespace, route: called, rule } = request
    const about = { by: actor.name, from: actor.from, route: `${namespace}/${called}`, rule, action: wordsOf(request) }
    if ('refused' in answer) log('warn', 'command refused', { ...about, status: answer.status, why: answer.refused })
    else log('info', 'command obeyed', about)
    return answer
  }
}

/** `undo to revision 3`, `set-weight stable=90 canary=10`. */
function wordsOf({ action, revision, weights }: RolloutRequest): string {
  const pairs = (weights ?? []).map(({ variant, weight }) => ` ${variant}=${weight}`).join('')
  return `${action}${revision === undefined ? '' : ` to revision ${revision}`}${pairs}`
}
