import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { aimsOf, specHashOf, type Delivery, type Plan } from '../compile/rollout.ts'
import type { BackendRef } from '../compile/spec.ts'
import { WHOLE } from '../compile/weights.ts'
import { obey, parseCommand, type Earlier } from './commands.ts'
import type { Judgement } from './judge.ts'
import { advance, type Facts } from './machine.ts'
import { fromStatus, statusOf } from './recorded.ts'
import { countedAs, type RuleState } from './state.ts'

const MINUTE = 60_000
const ref = (variant: string, weight: number, version = '1'): BackendRef => ({ variant, name: `fraud-${variant}`, port: 8000, weight, model: { version } })
const pair = (canary: number, version = '1') => [ref('stable', 100 - canary), ref('canary', canary, version)]
const step = (percent: number, hold = 0, approval = false) => ({ share: percent * 10_000, hold, approval })
const three = [step(5, 5 * MINUTE), step(25, 5 * MINUTE), step(50, 0, true)]
const analysis = { interval: 10_000, minRequests: 1, failureLimit: 1, onNoData: 'Hold', gates: [] } as const

function delivery(backendRefs: readonly BackendRef[], steps: Plan['steps'] | undefined = three, more: Partial<Plan> = {}): Delivery {
  const plan = { candidate: 'canary', paused: false, steps, ...more }
  const rollout = { candidate: plan.candidate, steps: steps.map(({ share, hold, approval }) => ({ percent: share / 10_000, hold: `${hold}ms`, approval })) }
  return { specHash: specHashOf({ backendRefs, rollout }), aims: aimsOf(backendRefs), plan }
}

const all = new Map([['stable', 2], ['canary', 2], ['third', 1]])
const unready = new Map([['stable', 2], ['canary', 0]])
const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString()
const facts = (d: Delivery, more: Partial<Facts> = {}): Facts => ({ delivery: d, endpoints: all, elapsed: 0, now: at(0), ...more })
const says = (action: Judgement['action'], verdict: Judgement['verdict'] = action === 'abort' ? 'fail' : 'pass'): Judgement =>
  ({ at: 0, verdict, action, why: `it says ${action}`, metrics: [] })
const shareOf = (state: RuleState, variant = 'canary') => (state.variants.find((each) => each.variant === variant)?.share ?? 0) / 10_000
const brief = (state: RuleState) => [state.phase, state.step, shareOf(state)]
/** One that is fully stable at that share of the canary. */
const promoted = (d: Delivery) => advance(undefined, facts(d)).state
const turn = (state: RuleState, d: Delivery, more: Partial<Facts> = {}) => advance(state, facts(d, more)).state
const refusal = (result: unknown) => (typeof result === 'string' ? result : 'it was taken')
/** The state after it, or why it is refused. */
const attempt = (state: RuleState, d: Delivery, text: string, more: Partial<Facts> = {}, history: readonly Earlier[] = []) => {
  const parsed = parseCommand(`${text}@${d.specHash}`)
  assert.ok(typeof parsed !== 'string', refusal(parsed))
  const result = obey(state, parsed, facts(d, more), 'infer', history)
  if (typeof result === 'string') return result
  // A judgement is of one try of one step.
  const { judgement: _judgement, ...rest } = more
  return advance(result.state, facts(d, result.state.startedAt === state.startedAt ? more : rest)).state
}
const command = (...args: Parameters<typeof attempt>): RuleState => {
  const result = attempt(...args)
  assert.ok(typeof result !== 'string', refusal(result))
  return result
}

const v1 = delivery(pair(0))
const v2 = delivery(pair(100))

describe('the way of a candidate', () => {
  test('a rule that is seen for the first time goes to its target at once', () => {
    assert.deepEqual(brief(promoted(delivery(pair(40)))), ['Stable', 0, 40])
  })

  test('a rule without a rollout follows every edit at once', () => {
    const { plan: _plan, ...plain } = delivery(pair(40))
    assert.deepEqual(brief(turn(promoted(v1), plain)), ['Stable', 0, 40])
  })

  test('step by step: each hold, the approval, then the target', () => {
    let state = turn(promoted(v1), v2)
    assert.deepEqual(brief(state), ['Progressing', 1, 5])
    state = turn(state, v2, { elapsed: 5 * MINUTE - 1 })
    assert.deepEqual(brief(state), ['Progressing', 1, 5])
    state = turn(state, v2, { elapsed: 5 * MINUTE })
    assert.deepEqual(brief(state), ['Progressing', 2, 25])
    state = turn(state, v2, { elapsed: 5 * MINUTE })
    assert.deepEqual(brief(state), ['Progressing', 3, 50])
    state = turn(state, v2, { elapsed: 100 * MINUTE })
    assert.deepEqual(brief(state), ['AwaitingApproval', 3, 50])
    state = command(state, v2, 'promote', { elapsed: 100 * MINUTE })
    assert.deepEqual(brief(state), ['Stable', 0, 100])
    assert.deepEqual(state.variants.map((variant) => variant.promoted), [0, WHOLE])
  })

  test('hold and approval means both, in either order', () => {
    const both = delivery(pair(100), [step(5, MINUTE, true)])
    const early = command(turn(promoted(v1), both), both, 'promote', { elapsed: 10 })
    assert.deepEqual(brief(early), ['Progressing', 1, 5])
    assert.deepEqual(brief(turn(early, both, { elapsed: MINUTE })), ['Stable', 0, 100])
    assert.deepEqual(brief(turn(turn(promoted(v1), both), both, { elapsed: MINUTE })), ['AwaitingApproval', 1, 5])
  })

  test('steps at or above the target are skipped', () => {
    const low = delivery(pair(25))
    const state = turn(promoted(v1), low)
    assert.deepEqual(brief(turn(state, low, { elapsed: 5 * MINUTE })), ['Stable', 0, 25])
  })

  test('steps below what was promoted already are skipped, so that nothing is taken back', () => {
    assert.deepEqual(brief(turn(promoted(delivery(pair(30))), v2)), ['Progressing', 3, 50])
    assert.deepEqual(brief(turn(promoted(delivery(pair(60))), v2)), ['Stable', 0, 100])
  })

  test('less for the candidate takes effect at once, in the midst of a rollout too', () => {
    assert.deepEqual(brief(turn(turn(promoted(v1), v2), delivery(pair(3)))), ['Stable', 0, 3])
    assert.deepEqual(brief(turn(promoted(v2), delivery(pair(10)))), ['Stable', 0, 10])
  })

  test('another reference of the candidate starts again at 0', () => {
    const running = turn(turn(promoted(v1), v2), v2, { elapsed: 5 * MINUTE })
    const other = delivery(pair(100, '9'))
    assert.deepEqual(brief(turn(running, other, { endpoints: unready })), ['Progressing', 1, 0])
    assert.deepEqual(brief(turn(running, other)), ['Progressing', 1, 5])
    assert.deepEqual(brief(turn(promoted(delivery(pair(30))), delivery(pair(30, '9')))), ['Progressing', 1, 5])
  })

  test('edited steps go on from the present share, and its hold from where it was', () => {
    const running = turn(turn(promoted(v1), v2), v2, { elapsed: 5 * MINUTE, now: at(300) })
    const longer = delivery(pair(100), [step(10), step(25, 9 * MINUTE), step(80)])
    const state = turn(running, longer, { elapsed: 5 * MINUTE, now: at(600) })
    assert.deepEqual([...brief(state), state.startedAt], ['Progressing', 2, 25, at(300)])
    assert.deepEqual(brief(turn(running, delivery(pair(100), [step(40, MINUTE)]))), ['Progressing', 1, 40])
    assert.deepEqual(brief(turn(running, delivery(pair(100), [step(10, MINUTE)]))), ['Stable', 0, 100])
  })

  test('an approval of the steps before an edit is none of those after it', () => {
    const both = delivery(pair(100), [step(5, MINUTE, true)])
    const early = command(turn(promoted(v1), both), both, 'promote')
    const edited = delivery(pair(100), [step(5, 2 * MINUTE, true)])
    assert.deepEqual(brief(turn(turn(early, edited), edited, { elapsed: 2 * MINUTE })), ['AwaitingApproval', 1, 5])
  })

  test('another candidate: the one before goes back to what it was promoted to', () => {
    const refs = [ref('stable', 60), ref('canary', 20), ref('third', 20)]
    const before = advance(undefined, facts(delivery([ref('stable', 100), ref('canary', 0), ref('third', 0)]))).state
    const running = turn(before, delivery(refs))
    const state = turn(running, delivery(refs, three, { candidate: 'third' }))
    assert.deepEqual([shareOf(state, 'stable'), shareOf(state), shareOf(state, 'third')], [95, 0, 5])
  })

  test('without the rollout in the manifest the target holds at once', () => {
    const { plan: _plan, ...plain } = v2
    assert.deepEqual(brief(turn(turn(promoted(v1), v2), { ...plain, specHash: 'ff' })), ['Stable', 0, 100])
  })

  test('the others keep their proportions on the way, and get theirs with the target', () => {
    const before = advance(undefined, facts(delivery([ref('stable', 60), ref('third', 40), ref('canary', 0)]))).state
    const next = delivery([ref('stable', 10), ref('third', 10), ref('canary', 80)], [step(50, MINUTE)])
    const state = turn(before, next)
    assert.deepEqual(['stable', 'third', 'canary'].map((variant) => shareOf(state, variant)), [30, 20, 50])
    const done = turn(state, next, { elapsed: MINUTE })
    assert.deepEqual(['stable', 'third', 'canary'].map((variant) => shareOf(done, variant)), [10, 10, 80])
  })

  test('a candidate that nobody could stand in for goes to its target at once', () => {
    const alone = delivery([ref('canary', 1)])
    assert.deepEqual(brief(turn(promoted(alone), delivery([ref('canary', 1, '2')]))), ['Stable', 0, 100])
  })

  test('blue-green: nothing before the approval, everything after it, and nothing again on abort', () => {
    const green = delivery(pair(100), [step(0, 0, true)])
    const waiting = turn(turn(promoted(v1), green), green, { judgement: says('stay', 'no-data') })
    assert.deepEqual(brief(waiting), ['AwaitingApproval', 1, 0])
    const done = command(waiting, green, 'promote')
    assert.deepEqual(brief(done), ['Stable', 0, 100])
    assert.deepEqual(brief(command(done, green, 'abort')), ['Aborted', 0, 0])
  })
})

describe('the gates', () => {
  const judged = delivery(pair(100), three, { analysis })

  test('a failed one sends the candidate to 0 at once, in whatever phase', () => {
    const running = turn(promoted(v1), judged)
    const judgement = says('abort')
    for (const elapsed of [0, 5 * MINUTE]) assert.deepEqual(brief(turn(running, judged, { elapsed, judgement })), ['Aborted', 1, 0])
    const paused = command(running, judged, 'pause')
    assert.equal(paused.phase, 'Paused')
    assert.deepEqual(brief(turn(paused, judged, { judgement })), ['Aborted', 1, 0])
    const waiting = turn({ ...running, step: 3, approved: true }, judged, { elapsed: 0, judgement: says('stay') })
    assert.deepEqual(brief(turn(waiting, judged, { judgement })), ['Aborted', 3, 0])
  })

  test('an abort stays until backendRefs or rollout change; a pause in the manifest changes nothing', () => {
    const aborted = turn(turn(promoted(v1), judged), judged, { judgement: says('abort') })
    assert.equal(turn(aborted, judged, { elapsed: 60 * MINUTE, judgement: says('advance') }), aborted)
    const paused = delivery(pair(100), three, { analysis, paused: true })
    assert.equal(turn(aborted, paused), aborted)
    assert.deepEqual(brief(turn(aborted, delivery(pair(99), three, { analysis }))), ['Progressing', 1, 5])
  })

  test('without a verdict the step stays after its hold; with one it goes on', () => {
    const running = turn(promoted(v1), judged)
    assert.deepEqual(brief(turn(running, judged, { elapsed: 9 * MINUTE, judgement: says('stay', 'no-data') })), ['Progressing', 1, 5])
    assert.deepEqual(brief(turn(running, judged, { elapsed: 9 * MINUTE })), ['Progressing', 1, 5])
    assert.deepEqual(brief(turn(running, judged, { elapsed: 9 * MINUTE, judgement: says('advance') })), ['Progressing', 2, 25])
  })

  test('nothing is aborted onto variants that have no endpoint: that would end in an outage', () => {
    const running = turn(promoted(v1), judged)
    const lonely = new Map([['stable', 0], ['canary', 2]])
    const stuck = advance(running, facts(judged, { endpoints: lonely, judgement: says('abort') }))
    assert.deepEqual([...brief(stuck.state), stuck.news?.reason], ['Progressing', 1, 5, 'RolloutStuck'])
    assert.equal(advance(stuck.state, facts(judged, { endpoints: lonely, judgement: says('abort') })).news, undefined, 'told once')
    assert.deepEqual(brief(turn(stuck.state, judged, { judgement: says('abort') })), ['Aborted', 1, 0])
  })
})

describe('readiness', () => {
  test('no first percent without a ready endpoint, whatever the hold', () => {
    const waiting = turn(promoted(v1), v2, { endpoints: unready })
    assert.deepEqual(brief(waiting), ['Progressing', 1, 0])
    assert.deepEqual(brief(turn(waiting, v2, { endpoints: unready, elapsed: 60 * MINUTE })), ['Progressing', 1, 0])
    assert.equal(typeof attempt(waiting, v2, 'promote', { endpoints: unready }), 'string')
    assert.equal(typeof attempt(waiting, v2, 'promote-full', { endpoints: unready }), 'string')
    assert.deepEqual(brief(turn(waiting, v2)), ['Progressing', 1, 5])
  })

  test('a candidate that is gone has its share withheld, and begins the step again when it is back', () => {
    const running = turn(promoted(v1), v2)
    const withheld = turn(running, v2, { endpoints: unready, elapsed: 4 * MINUTE })
    assert.deepEqual([...brief(withheld), withheld.startedAt], ['Progressing', 1, 0, undefined])
    const back = turn(withheld, v2, { now: at(900) })
    assert.deepEqual([...brief(back), back.startedAt], ['Progressing', 1, 5, at(900)])
  })
})

describe('commands', () => {
  const running = turn(promoted(v1), v2)

  test('are for one version of the rule, and are refused with the present one after an edit', () => {
    const stale = obey(running, { action: 'abort', specHash: v1.specHash }, facts(v2), 'infer', [])
    assert.match(refusal(stale), new RegExp(v2.specHash))
  })

  test('pause keeps the share, promote still takes a step, resume goes on', () => {
    const paused = command(running, v2, 'pause')
    assert.deepEqual(brief(turn(paused, v2, { elapsed: 60 * MINUTE })), ['Paused', 1, 5])
    const next = command(paused, v2, 'promote')
    assert.deepEqual(brief(next), ['Paused', 2, 25])
    const last = command(next, v2, 'promote')
    assert.deepEqual(brief(last), ['Paused', 3, 50])
    assert.deepEqual(brief(command(last, v2, 'promote')), ['Stable', 0, 100], 'a pause is not waited out for an approval')
    assert.deepEqual(brief(turn(command(next, v2, 'resume'), v2, { elapsed: 5 * MINUTE })), ['Progressing', 3, 50])
  })

  test('a pause in the manifest is lifted there only, and before the first step too', () => {
    const paused = delivery(pair(100), three, { paused: true })
    const waiting = turn(promoted(v1), paused)
    assert.deepEqual(brief(waiting), ['Paused', 1, 0])
    assert.match(refusal(attempt(waiting, paused, 'resume')), /manifest/)
    assert.deepEqual(brief(turn(waiting, v2)), ['Progressing', 1, 5])
  })

  test('each of them given twice does no more than once, but for promote', () => {
    for (const action of ['pause', 'resume', 'abort', 'promote-full']) {
      const once = command(running, v2, action)
      const twice = attempt(once, v2, action)
      if (typeof twice !== 'string') assert.deepEqual(brief(twice), brief(once), action)
    }
  })

  test('retry takes an aborted rollout through its steps again', () => {
    const aborted = command(running, v2, 'abort')
    assert.match(refusal(attempt(aborted, v2, 'promote')), /retry/)
    assert.deepEqual(brief(command(aborted, v2, 'retry')), ['Progressing', 1, 5])
    assert.match(refusal(attempt(running, v2, 'retry')), /not aborted/)
  })

  test('where nothing is under way there is nothing to promote, pause or abort', () => {
    for (const action of ['promote', 'promote-full', 'pause', 'resume', 'abort']) assert.equal(typeof attempt(promoted(v1), v1, action), 'string', action)
  })

  test('undo goes to the newest version that is different, again to the one before, or to one that is named', () => {
    const spec = (refs: readonly BackendRef[]) => ({ rules: [{ name: 'infer', backendRefs: refs }] })
    const history = [pair(0, '0'), pair(0), pair(0), pair(100)].map((refs, at) => ({ revision: at + 1, spec: spec(refs) }))
    const undone = command(promoted(v2), v2, 'undo', {}, history)
    assert.deepEqual([undone.phase, undone.undone?.revision, shareOf(undone)], ['Aborted', 3, 0])
    assert.equal(turn(undone, v2, { elapsed: 60 * MINUTE }), undone, 'latched')
    const further = command(undone, v2, 'undo', {}, history)
    assert.equal(further.undone?.revision, 1)
    assert.equal(command(undone, v2, 'undo:4', {}, history).undone?.revision, 4)
    assert.match(refusal(attempt(undone, v2, 'undo:7', {}, history)), /no revision 7/)
    assert.match(refusal(attempt(promoted(v2), v2, 'undo')), /no earlier revision/)
    const edited = turn(undone, delivery(pair(50)))
    assert.deepEqual([...brief(edited), edited.undone], ['Progressing', 1, 5, undefined])
  })

  test('what is no command says what one is', () => {
    for (const text of ['', 'promote', 'promote@', 'launch@00', 'promote:3@00', 'undo:x@00', `abort@${'0'.repeat(65)}`, 'abort@00 ']) {
      assert.match(refusal(parseCommand(text)), /ACTION@SPECHASH/, text)
    }
    assert.deepEqual(parseCommand('undo:12@0a'), { action: 'undo', revision: 12, specHash: '0a' })
  })
})

test('the status says everything: whoever reads it goes on from there', () => {
  const undone: RuleState = {
    ...turn(promoted(v1), v2), paused: true, approved: true, command: 'pause@00', undone: { revision: 2, backendRefs: pair(3) },
  }
  for (const state of [promoted(v1), turn(promoted(v1), v2), turn(promoted(v1), v2, { endpoints: unready }), undone]) {
    const written: unknown = JSON.parse(JSON.stringify([statusOf('infer', state)]))
    assert.deepEqual(fromStatus(written).get('infer'), state)
  }
})

test('a status that makes no sense is as if it were not there', () => {
  const bad = [undefined, null, 'x', [null], [{}], [{ name: 'infer' }], [{ name: 'infer', phase: 'Odd', backends: [{ variant: 'a' }] }],
    [{ name: 'infer', backends: [{ variant: 'a', effectiveWeight: 2_000_000 }] }], [{ name: 'infer', stepStartedAt: 'soon', backends: [{ variant: 'a' }] }]]
  for (const rules of bad) assert.equal(fromStatus(rules).size, 0, JSON.stringify(rules))
  const forged = [{ name: 'infer', backends: [{ variant: 'a' }], undone: { revision: 1, backendRefs: '[{"variant":"a","kind":"Secret"}]' } }]
  assert.equal(fromStatus(forged).get('infer')?.undone, undefined)
})

test('the status of a version before rollouts is gone on from, and nothing starts again at 0', () => {
  const old = fromStatus([{ name: 'infer', phase: 'Stable', backends: [{ variant: 'stable', effectiveWeight: 700_000, promotedWeight: 700_000 }, { variant: 'canary', effectiveWeight: 300_000, promotedWeight: 300_000 }] }])
  assert.deepEqual(brief(turn(old.get('infer')!, delivery(pair(30)))), ['Stable', 0, 30])
})

describe('what users of other tools complain of', () => {
  const judged = delivery(pair(100), three, { analysis })

  test('Flagger 1801: while an approval is waited for, a canary that fails is taken back', () => {
    const waiting = turn({ ...turn(promoted(v1), judged), step: 3 }, judged, { judgement: says('advance') })
    assert.equal(waiting.phase, 'AwaitingApproval')
    assert.deepEqual(brief(turn(waiting, judged, { judgement: says('abort') })), ['Aborted', 3, 0])
  })

  test('Flagger 189: steps that do not add up to the target end at the target, and nowhere before it is called done', () => {
    const odd = delivery([ref('stable', 1), ref('canary', 2)], [step(7), step(33), step(66)])
    let state = turn(promoted(v1), odd)
    const way = [brief(state)]
    for (; state.phase !== 'Stable'; way.push(brief(state))) state = turn(state, odd)
    assert.deepEqual(way, [['Progressing', 1, 7], ['Progressing', 2, 33], ['Progressing', 3, 66], ['Stable', 0, 66.6667]])
  })

  test('Argo Rollouts 4841 and 4900: an abort leaves the canary nothing, whatever it had been promoted to, and can be left again', () => {
    for (const before of [0, 1, 30]) {
      const aborted = turn(turn(promoted(delivery(pair(before), three, { analysis })), judged), judged, { judgement: says('abort') })
      assert.deepEqual([aborted.phase, shareOf(aborted), shareOf(aborted, 'stable')], ['Aborted', 0, 100], `from ${before} %`)
      assert.equal(command(aborted, judged, 'retry').phase, 'Progressing')
      assert.equal(turn(aborted, delivery(pair(0), three, { analysis })).phase, 'Stable')
    }
  })

  test('Argo Rollouts 3372: nothing is sent back to a version that has been scaled down', () => {
    const gone = new Map([['stable', 0], ['canary', 2]])
    assert.equal(shareOf(turn(turn(promoted(v1), judged), judged, { endpoints: gone, judgement: says('abort') })), 5)
  })

  test('Argo Rollouts 1905: where nothing is measured a step can wait', () => {
    const running = turn(promoted(v1), judged)
    assert.deepEqual(brief(turn(running, judged, { elapsed: 60 * MINUTE, judgement: says('stay', 'no-data') })), ['Progressing', 1, 5])
  })

  test('KServe 5983: a canary that is not ready gets no traffic', () => {
    assert.equal(shareOf(turn(promoted(v1), v2, { endpoints: unready })), 0)
  })
})

/** A small generator of numbers, so that a failure can be had again. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
}

test('whatever happens in whatever order: 2,000 rollouts keep their promises', () => {
  const actions = ['promote', 'promote-full', 'pause', 'resume', 'abort', 'retry', 'undo']
  for (let seed = 1; seed <= 2_000; seed++) {
    const roll = random(seed)
    const make = () => {
      const steps = [...new Set(Array.from({ length: roll(4) }, () => roll(101)))].sort((a, b) => a - b)
      const refs = [ref('stable', 1 + roll(3)), ref('third', roll(3)), ref('canary', roll(4), String(roll(3)))]
      return delivery(refs, steps.map((percent) => step(percent, roll(3) * MINUTE, roll(4) === 0)), { paused: roll(10) === 0, ...(roll(2) === 0 && { analysis }) })
    }
    const history = [{ revision: 1, spec: { rules: [{ name: 'infer', backendRefs: pair(10) }] } }]
    let now = make()
    let state = promoted(now)
    let elapsed = 0
    for (let round = 0; round < 30; round++) {
      const before = state
      if (roll(8) === 0) now = make()
      elapsed += roll(2) * MINUTE
      const ready = roll(5) > 0
      const judgement = roll(3) > 0 ? undefined : says((['abort', 'stay', 'advance'] as const)[roll(3)] ?? 'stay')
      const more = { endpoints: ready ? all : unready, elapsed, judgement, now: at(seed * 100 + round) }
      const given = roll(6) === 0 ? actions[roll(actions.length)] : undefined
      if (given === undefined) state = turn(state, now, more)
      else {
        const result = attempt(state, now, given, more, history)
        state = typeof result === 'string' ? turn(state, now, more) : result
      }
      const where = `seed ${seed} round ${round} ${given ?? ''}: ${JSON.stringify(before)} → ${JSON.stringify(state)}`
      assert.equal(state.variants.reduce((sum, { share }) => sum + share, 0), WHOLE, where)
      const aim = now.aims.find(({ variant }) => variant === 'canary')
      const was = before.variants.find(({ variant }) => variant === 'canary')
      const kept = was?.reference === aim?.reference ? (was?.share ?? 0) : 0
      const share = Math.round(shareOf(state) * 10_000)
      if (state.undone === undefined) {
        assert.ok(share <= (aim?.target ?? 0) || state.specHash !== now.specHash, where)
        if (share > kept) {
          assert.ok(ready, `raised though not ready: ${where}`)
          assert.ok(share === aim?.target || now.plan?.steps.some((each) => each.share === share), `raised to no step: ${where}`)
          assert.ok(judgement?.action !== 'abort' || !now.plan?.analysis || before.startedAt === undefined || before.specHash !== now.specHash || given !== undefined, `raised though it fails: ${where}`)
        }
      }
      if (before.phase === 'Aborted' && before.specHash === now.specHash && given !== 'retry' && given !== 'undo') assert.equal(state, before, where)
      if (state.startedAt !== before.startedAt || state.step !== before.step) elapsed = 0
      if (state.startedAt !== before.startedAt && countedAs(state) !== undefined) assert.notEqual(countedAs(state), countedAs(before), where)
    }
  }
})
