import { setTimeout as wait } from 'node:timers/promises'
import type { Options } from './flags.ts'
import { lineOf, viewOf } from './rollout-view.ts'
import { placeOf, type Action, type Place } from './rollout-place.ts'
import { ruleOf } from './rollout-rule.ts'
import { setWeight } from './rollout-weight.ts'

type Output = Readonly<{ stdout: (text: string) => void; stderr: (text: string) => void; terminal: boolean }>

const actions: Readonly<Record<string, Action>> = {
  promote: 'promote', pause: 'pause', resume: 'resume', abort: 'abort', undo: 'undo', retry: 'retry',
}

/** Milliseconds between two looks of `status -w`. */
const lookEvery = 1_000

/** Shows rollouts and steers them: through the cluster's API server, or a controller's control port. */
export async function rollout(options: Options<'rollout'>, output: Output): Promise<number> {
  const { operands: [verb = '', , rule] } = options
  const place = await placeOf(options)
  try {
    if (verb === 'status') return options.watch ? await follow(options, place, output) : await show(place, rule, output)
    if (verb === 'set-weight') return await setWeight(options, place, output)
    const action = options.full ? 'promote-full' : actions[verb] ?? 'promote'
    return await tell(action, options, place, output)
  } finally {
    place.close()
  }
}

async function show(place: Place, rule: string | undefined, { stdout }: Output): Promise<number> {
  const seen = await place.read()
  if (rule !== undefined) ruleOf(seen, rule)
  stdout(viewOf(seen, rule, Date.now()))
  return 0
}

/** In a terminal it draws over what it drew; elsewhere it says a line when something changed. */
async function follow({ operands: [, , rule], timeout }: Options<'rollout'>, place: Place, { stdout, stderr, terminal }: Output): Promise<number> {
  const until = timeout === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeout
  let drawn = 0
  let said = ''
  for (;;) {
    const seen = await place.read()
    if (rule !== undefined) ruleOf(seen, rule)
    if (terminal) {
      const view = viewOf(seen, rule, Date.now())
      // Up over the last one, and the rest of the screen cleared (ECMA-48: CUU, ED).
      stdout(`${drawn === 0 ? '' : `\u001B[${drawn}A\u001B[J`}${view}`)
      drawn = view.split('\n').length - 1
    } else {
      const line = lineOf(seen, rule)
      if (line !== said) stdout(line)
      said = line
    }
    const phases = (seen.status.rules ?? []).filter(({ name }) => rule === undefined || name === rule).map(({ phase }) => phase ?? 'Stable')
    if (phases.includes('Aborted')) return 1
    if (phases.length > 0 && phases.every((phase) => phase === 'Stable')) return 0
    if (performance.now() >= until) {
      stderr(`modelroute rollout: not over within ${timeout ?? 0} ms\n`)
      return 1
    }
    await wait(Math.min(lookEvery, until - performance.now()))
  }
}

async function tell(action: Action, { operands: [, , named], toRevision }: Options<'rollout'>, place: Place, { stdout }: Output): Promise<number> {
  const seen = await place.read()
  const rule = ruleOf(seen, named)
  const hash = seen.status.rules?.find(({ name }) => name === rule)?.specHash
  if (hash === undefined) throw new Error(`the controller has not looked at rule ${rule} of ${seen.namespace}/${seen.name} yet`)
  await place.tell({ rule, action, hash, revision: toRevision }, seen)
  stdout(viewOf(await place.read(), rule, Date.now()))
  return 0
}
