import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import type { ModelRoute } from '../../crds/types.gen.ts'
import { createCompiler } from '../compile/compile.ts'
import type { Compiled } from '../compile/compiled.ts'
import { emptySnapshot } from '../sources/files-snapshot.ts'
import type { Resource, Snapshot } from '../sources/snapshot.ts'
import type { Judgement } from './judge.ts'
import type { News } from './machine.ts'
import { statusOf } from './recorded.ts'
import { Rollouts } from './rollouts.ts'

const MINUTE = 60_000
type Rule = ModelRoute['spec']['rules'][number]
const steps = [{ percent: 5, hold: '5m' }, { percent: 25, hold: '5m' }, { percent: 50, approval: true }]

function rule(canary: number, more: Partial<Rule> = {}, version = '1'): Rule {
  const at = (variant: string, weight: number) => ({ variant, name: variant, port: 8000, weight, model: { version } })
  return {
    name: 'infer', backendRefs: [{ ...at('stable', 100 - canary), model: { version: '0' } }, at('canary', canary)],
    rollout: { candidate: 'canary', steps }, ...more,
  }
}

/** What a controller is to its rollouts: compiles, records where the server is there, and can be killed at any moment. */
class Process {
  readonly clock: FakeClock
  readonly told: News[] = []
  readonly handled: string[] = []
  readonly claimed: string[] = []
  readonly rollouts: Rollouts
  leading = true
  /** What passes between a look at every rule and the setting of the timer. Milliseconds. */
  lag = 0
  judgement: Partial<Judgement> = {}
  compiled!: Compiled
  #compile = createCompiler({ allowUrls: [], allowLoopback: false, allowUnmanagedEndpointSlices: true })
  #snapshot: Snapshot = emptySnapshot
  /** `status.rules` on the server. */
  server: { rules?: unknown; away?: boolean }

  constructor(clock = new FakeClock(), server: { rules?: unknown; away?: boolean } = {}) {
    this.clock = clock
    this.server = server
    this.rollouts = new Rollouts({
      clock,
      analyst: { judge: (step, now) => ({ at: now, verdict: 'pass', action: 'advance', why: step.id, metrics: [], ...this.judgement }), keep: () => this.clock.stall(this.lag) },
      leading: () => this.leading,
      moved: () => this.take(),
      changed: () => queueMicrotask(() => this.record()),
      tell: (_, __, news) => this.told.push(news),
      history: () => Promise.resolve([{ revision: 1, spec: { rules: [rule(0)] } }]),
      claim: (_, of, text) => this.claimed.push(`${of} ${text}`),
      handled: (_, of, text) => this.handled.push(`${of} ${text}`),
    })
    if (server.rules !== undefined) this.rollouts.observe('uid', server.rules)
  }

  /** As the server does, at once; and nothing where it is away. */
  record(): void {
    const states = this.rollouts.states('ml/fraud')
    if (!states || this.server.away || !this.leading) return
    const rules: unknown = JSON.parse(JSON.stringify([...states].map(([name, state]) => statusOf(name, state))))
    this.server.rules = rules
    this.rollouts.recorded('uid', rules)
  }

  edit(rules: readonly Rule[], { ready = true, commands = {} }: { ready?: boolean; commands?: Record<string, string> } = {}): this {
    const spec = { rules }
    const object = { apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'fraud', namespace: 'ml' }, spec } as ModelRoute
    const resource: Resource<ModelRoute> = {
      namespace: 'ml', name: 'fraud', generation: 1, created: '', uid: 'uid', object, problems: [],
      commands: new Map(Object.entries(commands)),
    }
    const services = ['stable', 'canary'].map((name) => [`ml/${name}`, { metadata: { name, namespace: 'ml' }, spec: { ports: [{ port: 8000, targetPort: 8000 }] } }] as const)
    const slices = ['stable', ...(ready ? ['canary'] : [])].map((name) => [`ml/${name}`, [{
      metadata: { name, namespace: 'ml' }, addressType: 'IPv4', ports: [{ port: 8000 }], endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true } }],
    }]] as const)
    this.#snapshot = { ...this.#snapshot, modelRoutes: new Map([['ml/fraud', resource]]), services: new Map(services), endpointSlices: new Map(slices) }
    this.take()
    return this
  }

  /** Compiles, as after any change in the cluster. */
  take(): void {
    this.compiled = this.#compile({ ...this.#snapshot, rollouts: this.rollouts.table })
    for (let turns = 0; this.rollouts.take(this.#snapshot, this.compiled); turns++) {
      assert.ok(turns < 3, 'it settles')
      this.compiled = this.#compile({ ...this.#snapshot, rollouts: this.rollouts.table })
    }
  }

  /** Percent of the candidate in the table of the proxies. */
  get share(): number | undefined {
    const variants = this.compiled.fleets.get('default')?.routes.get('ml/fraud')?.rules.find(({ name }) => name === 'infer')?.variants
    const weight = variants?.find(({ name }) => name === 'canary')?.weight
    return weight === undefined ? undefined : weight / 10_000
  }

  get hash(): string {
    return this.rollouts.states('ml/fraud')?.get('infer')?.specHash ?? ''
  }

  get phase(): string | undefined {
    return this.rollouts.states('ml/fraud')?.get('infer')?.phase
  }

  /** Another process reads the same server. */
  successor(clock = this.clock): Process {
    this.rollouts.stop()
    return new Process(clock, this.server)
  }
}

const started = async (more: Partial<Rule> = {}) => {
  const process = new Process().edit([rule(0, more)])
  await process.clock.advance(1)
  process.edit([rule(100, more)])
  await process.clock.advance(1)
  return process
}

describe('the rollouts of a controller', () => {
  test('a rule goes to its target at first sight, and step by step after an edit, in the time that its steps say', async () => {
    const process = new Process().edit([rule(40)])
    assert.equal(process.share, 40)
    process.edit([rule(100, { rollout: { candidate: 'canary', steps: [{ percent: 50, hold: '2m' }, { percent: 80, hold: '3m' }] } })])
    await process.clock.advance(1)
    assert.equal(process.share, 50)
    await process.clock.advance(2 * MINUTE - 5)
    assert.equal(process.share, 50)
    await process.clock.advance(10)
    assert.equal(process.share, 80)
    await process.clock.advance(3 * MINUTE)
    assert.deepEqual([process.share, process.phase], [100, 'Stable'])
    assert.deepEqual(process.told.map(({ reason }) => reason), ['RolloutStarted', 'RolloutStep', 'RolloutCompleted'])
  })

  test('no share is given before it is written down, and less of it at once', async () => {
    const process = await started()
    assert.equal(process.share, 5)
    process.server.away = true
    await process.clock.advance(20 * MINUTE)
    assert.equal(process.share, 5, 'the next step is decided, and waits')
    process.server.away = false
    process.record()
    await process.clock.advance(1)
    assert.equal(process.share, 25)
    process.server.away = true
    assert.equal(await process.rollouts.command('ml/fraud', 'infer', { action: 'abort' }), undefined)
    assert.equal(process.share, 0)
  })

  test('the hold of a step begins when its share is given, not when it was decided', async () => {
    const process = await started()
    process.server.away = true
    await process.clock.advance(5 * MINUTE)
    await process.clock.advance(4 * MINUTE)
    process.server.away = false
    process.record()
    await process.clock.advance(4 * MINUTE)
    assert.equal(process.share, 25)
    await process.clock.advance(MINUTE + 2)
    assert.equal(process.share, 50)
  })

  test('a step is not forgotten whose time came while the process was busy with something else', async () => {
    const process = await started()
    process.clock.stall(5 * MINUTE + 1)
    process.take()
    await process.clock.advance(1)
    assert.equal(process.share, 25)
  })

  test('a step is not forgotten whose time comes between the look at it and the setting of the timer', async () => {
    const process = await started()
    // Real timers can be early by a part of a millisecond.
    process.clock.early = 0.5
    process.lag = 1
    process.take()
    await process.clock.advance(5 * MINUTE + 10)
    assert.equal(process.share, 25)
  })

  test('killed at every step, its successor goes on from there', async () => {
    let process = await started()
    for (const share of [5, 25, 50]) {
      assert.equal(process.share, share)
      process = process.successor().edit([rule(100)])
      await process.clock.advance(1)
      assert.equal(process.share, share, 'after a restart')
      if (share === 50) break
      await process.clock.advance(5 * MINUTE + 1)
    }
    assert.equal(process.phase, 'AwaitingApproval')
    await process.rollouts.command('ml/fraud', 'infer', { action: 'promote' })
    await process.clock.advance(1)
    process = process.successor().edit([rule(100)])
    assert.deepEqual([process.share, process.phase], [100, 'Stable'])
    assert.deepEqual(process.told, [])
  })

  test('an abort, a pause and an undo are still there after a restart', async () => {
    for (const [action, phase, share] of [['abort', 'Aborted', 0], ['pause', 'Paused', 5], ['undo', 'Aborted', 0]] as const) {
      const process = await started()
      assert.equal(await process.rollouts.command('ml/fraud', 'infer', { action }), undefined)
      await process.clock.advance(1)
      const next = process.successor().edit([rule(100)])
      await next.clock.advance(30 * MINUTE)
      assert.deepEqual([next.phase, next.share], [phase, share], action)
    }
  })

  test('an edit while no controller runs is rolled out by the next one', async () => {
    const process = new Process().edit([rule(0)])
    await process.clock.advance(1)
    const next = process.successor().edit([rule(100)])
    await next.clock.advance(1)
    assert.equal(next.share, 5)
    const other = next.successor().edit([rule(100, {}, '7')], { ready: false })
    await other.clock.advance(10 * MINUTE)
    assert.equal(other.share, 0, 'another reference is another candidate')
  })

  test('a clock that is put back stalls nothing, and one put forward skips no hold', async () => {
    const away = (hours: number, of: FakeClock) => {
      const clock = new FakeClock()
      clock.date = () => new Date(of.date().getTime() + hours * 60 * MINUTE)
      return clock
    }
    const back = await started()
    const behind = back.successor(away(-5, back.clock)).edit([rule(100)])
    await behind.clock.advance(5 * MINUTE + 1)
    assert.equal(behind.share, 25, 'the whole hold again, and no more')
    const forth = await started()
    const ahead = forth.successor(away(5, forth.clock)).edit([rule(100)])
    await ahead.clock.advance(5_000)
    assert.equal(ahead.share, 5, 'at least ten seconds of it are waited for')
    await ahead.clock.advance(6_000)
    assert.equal(ahead.share, 25)
    const jumping = await started()
    const { clock } = jumping
    const date = clock.date
    clock.date = () => new Date(date().getTime() + 100 * 60 * MINUTE)
    await clock.advance(4 * MINUTE)
    assert.equal(jumping.share, 5, 'a process that lives on does not ask the wall clock')
  })

  test('who does not lead puts in force what is recorded, decides nothing, and takes over from there', async () => {
    const leader = await started()
    const follower = new Process(leader.clock, leader.server)
    follower.leading = false
    follower.edit([rule(100)])
    assert.equal(follower.share, 5)
    await leader.clock.advance(5 * MINUTE + 1)
    assert.equal(leader.share, 25)
    assert.equal(follower.share, 5, 'its watch is behind')
    follower.rollouts.observe('uid', leader.server.rules)
    assert.equal(follower.share, 25)
    await leader.clock.advance(5 * MINUTE + 1)
    assert.equal(leader.share, 50)
    leader.leading = false
    leader.rollouts.stop()
    follower.leading = true
    follower.rollouts.lead(new Map([['uid', leader.server.rules]]))
    assert.equal(follower.share, 50, 'not what its watch had, but what the server has')
    assert.equal(await leader.rollouts.command('ml/fraud', 'infer', { action: 'abort' }), 'another controller leads, or the rule is gone')
    assert.equal(await follower.rollouts.command('ml/fraud', 'infer', { action: 'promote' }), undefined)
    await follower.clock.advance(1)
    assert.equal(follower.share, 100)
  })

  test('a follower never gives a candidate more than is recorded, whatever the manifest wants', () => {
    const recorded = new Process().edit([rule(0)])
    recorded.record()
    const follower = new Process(new FakeClock(), recorded.server)
    follower.leading = false
    follower.edit([rule(100)])
    assert.equal(follower.share, 0)
  })

  test('a gate that fails sends the candidate to 0 at the next look, also while the server is away', async () => {
    const process = await started({ rollout: { candidate: 'canary', steps, analysis: { interval: '10s' } } })
    const measured = () => process.compiled.fleets.get('default')?.routes.get('ml/fraud')?.rules[0]?.measured
    assert.ok(measured())
    await process.clock.advance(2 * MINUTE)
    assert.equal(process.share, 5)
    process.server.away = true
    process.judgement = { verdict: 'fail', action: 'abort', why: 'error-rate 0.2 is above 0.01' }
    await process.clock.advance(1_001)
    assert.deepEqual([process.share, process.phase, measured()], [0, 'Aborted', undefined])
    assert.deepEqual(process.told.at(-1), { type: 'Warning', reason: 'RolloutAborted', message: 'error-rate 0.2 is above 0.01' })
  })

  test('figures are not written with every look', async () => {
    const process = await started({ rollout: { candidate: 'canary', steps, analysis: { interval: '10s' } } })
    let writes = 0
    const record = process.record.bind(process)
    process.record = () => {
      writes++
      record()
    }
    for (let at = 0; at < 120; at++) {
      process.judgement = { why: `error-rate ${at}` }
      await process.clock.advance(1_000)
    }
    assert.ok(writes >= 2 && writes <= 6, `${writes} writes in two minutes`)
  })

  test('a candidate without endpoints waits for its first percent', async () => {
    const process = new Process().edit([rule(0)])
    process.edit([rule(100)], { ready: false })
    await process.clock.advance(60 * MINUTE)
    assert.equal(process.share, 0)
    process.edit([rule(100)])
    await process.clock.advance(1)
    assert.equal(process.share, 5)
    process.edit([rule(100)], { ready: false })
    assert.equal(process.share, 0, 'and gets nothing while it has none')
  })

  test('rules of one route are rolled out each for itself; a new name is a new rule', async () => {
    const both = (canary: number, name = 'other') => [rule(canary), rule(canary, { name, matches: [{ path: { type: 'PathPrefix', value: '/x' } }] })]
    const process = new Process().edit(both(0))
    process.edit(both(100))
    await process.clock.advance(1)
    await process.rollouts.command('ml/fraud', 'other', { action: 'abort' })
    const shares = () => [...(process.rollouts.states('ml/fraud') ?? [])].map(([name, { phase, variants }]) => [name, phase, variants[1]?.share])
    assert.deepEqual(shares(), [['infer', 'Progressing', 50_000], ['other', 'Aborted', 0]])
    process.edit(both(100, 'renamed'))
    assert.deepEqual(shares(), [['infer', 'Progressing', 50_000], ['renamed', 'Stable', 1_000_000]])
    process.edit([rule(100)])
    assert.deepEqual(shares().map(([name]) => name), ['infer'])
  })

  test('a rule that an edit breaks for a while has not forgotten where it was', async () => {
    const process = await started()
    process.edit([{ name: 'infer', backendRefs: [{ variant: 'stable', name: 'stable', weight: 0 }] }])
    assert.equal(process.share, 5, 'the last good version')
    process.edit([rule(100)])
    assert.equal(process.share, 5)
  })

  test('undo puts earlier backendRefs in force until the rule is edited', async () => {
    const process = await started()
    await process.rollouts.command('ml/fraud', 'infer', { action: 'undo' })
    assert.equal(process.share, 0)
    assert.equal(process.rollouts.states('ml/fraud')?.get('infer')?.undone?.revision, 1)
    process.edit([rule(90)])
    await process.clock.advance(1)
    assert.equal(process.share, 5)
  })
})

describe('commands by annotation', () => {
  const given = (infer: string) => ({ commands: { infer } })

  test('are marked first, obeyed once, recorded, and then taken away', async () => {
    const process = await started()
    const plain = `promote@${process.hash}`
    const text = `${plain}#00000001`
    process.edit([rule(100)], given(plain))
    await process.clock.advance(1)
    assert.deepEqual([process.share, process.claimed.at(-1), process.handled], [5, `infer ${plain}`, []])
    process.server.away = true
    process.edit([rule(100)], given(text))
    await process.clock.advance(1)
    assert.deepEqual(process.handled, [], 'not before it is written down')
    process.server.away = false
    process.record()
    await process.clock.advance(1)
    assert.deepEqual([process.share, process.handled], [25, [`infer ${text}`]])
    process.edit([rule(100)], given(text))
    await process.clock.advance(1)
    assert.equal(process.share, 25, 'the annotation is still there')
    const next = process.successor().edit([rule(100)], given(text))
    await next.clock.advance(1)
    assert.deepEqual([next.share, next.handled], [25, [`infer ${text}`]], 'a successor takes it away, and does not obey again')
    next.edit([rule(100)])
    next.edit([rule(100)], given(`${plain}#00000002`))
    await next.clock.advance(1)
    assert.equal(next.share, 50, 'given again after it was gone')
  })

  test('are not taken for those before them, where nobody lived to write down that these were gone', async () => {
    const process = await started()
    const plain = `promote@${process.hash}`
    process.edit([rule(100)], given(`${plain}#00000001`))
    await process.clock.advance(1)
    assert.deepEqual([process.share, process.handled.length], [25, 1])
    const next = process.successor().edit([rule(100)], given(plain))
    await next.clock.advance(1)
    assert.deepEqual([[...new Set(next.claimed)], next.share], [[`infer ${plain}`], 25])
    next.edit([rule(100)], given(`${plain}#00000002`))
    await next.clock.advance(1)
    assert.equal(next.share, 50)
  })

  test('are dealt with by whoever leads again', async () => {
    const process = await started()
    const plain = `promote@${process.hash}`
    process.edit([rule(100)], given(plain))
    process.leading = false
    process.edit([rule(100)], given(`${plain}#00000001`))
    await process.clock.advance(1)
    assert.equal(process.share, 5)
    process.leading = true
    process.rollouts.lead(new Map([['uid', process.server.rules]]))
    await process.clock.advance(1)
    assert.equal(process.share, 25)
  })

  test('of another version, of nonsense or about no rule are refused, told and taken away', async () => {
    const process = await started()
    process.edit([rule(100)], { commands: { infer: 'abort@00000000#00000001', other: `abort@${process.hash}#00000002` } })
    await process.clock.advance(1)
    process.edit([rule(100)], given('explode#00000003'))
    await process.clock.advance(1)
    assert.equal(process.share, 5)
    assert.deepEqual(process.handled, ['infer abort@00000000#00000001', `other abort@${process.hash}#00000002`, 'infer explode#00000003'])
    const refusals = process.told.filter(({ reason }) => reason === 'RolloutCommandRefused')
    assert.equal(refusals.length, 3)
    assert.ok(refusals.some(({ message }) => message.includes(process.hash)), 'the present version is named')
    assert.ok(refusals.every(({ message }) => !message.includes('#')), 'as it was given')
  })
})
