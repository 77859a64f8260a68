import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RuleStatus } from '../crds/types.gen.ts'
import { httpUpstream } from './dataplane/sockets.ts'
import { serviceAt } from './manifests.ts'

/** The worked examples of docs/rollouts.md over files, in a process that is killed on the way. */

const root = join(import.meta.dirname, '..')
const example = (name: string) => readFileSync(join(root, `examples/rollouts/${name}.yaml`), 'utf8')

type Running = Readonly<{ http: string; control: string; kill: () => Promise<void> }>

class Gateway {
  readonly folder = mkdtempSync(join(tmpdir(), 'modelroute-rollouts-'))
  readonly #t: TestContext
  #running: Running | undefined

  constructor(t: TestContext) {
    this.#t = t
    t.after(async () => {
      await this.#running?.kill()
      rmSync(this.folder, { recursive: true })
    })
  }

  /** Two versions that answer with their name; `broken` ones answer 500. */
  async models(broken: ReadonlySet<string> = new Set()): Promise<this> {
    const services = await Promise.all(['fraud-v1', 'fraud-v2'].map(async (name) => serviceAt(name, await httpUpstream(this.#t, (request, response) => {
      request.resume().on('end', () => {
        response.statusCode = broken.has(name) ? 500 : 200
        response.end(name)
      })
    }), 'ml')))
    writeFileSync(join(this.folder, 'services.yaml'), services.join('\n---\n'))
    return this
  }

  write(manifest: string): void {
    writeFileSync(join(this.folder, 'route.yaml'), manifest)
  }

  async start(): Promise<void> {
    const bin = join(root, 'cli/modelroute.js')
    const args = ['serve', '-f', this.folder, '--state-dir', join(this.folder, 'state'), '--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0', '--control-port', '0']
    const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(child, 'exit')
    const urls = new Map<string, string>()
    const { promise, resolve } = Promise.withResolvers<undefined>()
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { msg, name, url } = JSON.parse(line) as { msg: string; name: string; url: string }
      if (msg === 'listening') urls.set(name, url)
      if (urls.has('http') && urls.has('control')) resolve(undefined)
    }).on('close', () => resolve(undefined))
    await promise
    this.#running = {
      http: urls.get('http') ?? '', control: urls.get('control') ?? '',
      kill: async () => {
        child.kill('SIGKILL')
        await ended
      },
    }
    await until('it is ready', async () => (await fetch(`${this.#running?.control}/readyz`, { signal: patience() })).ok)
  }

  async restart(): Promise<void> {
    await this.#running?.kill()
    await this.start()
  }

  async rule(): Promise<RuleStatus | undefined> {
    const { items } = await (await fetch(`${this.#running?.control}/status`, { signal: patience() })).json() as { items: { status?: { rules?: RuleStatus[] } }[] }
    return items[0]?.status?.rules?.[0]
  }

  /** What its status says, and its share of the next hundred requests. */
  async reaches(phase: string, percent: number, variant = 'canary'): Promise<void> {
    await until(`${phase} at ${percent} %`, async () => {
      const rule = await this.rule()
      return rule?.phase === phase && rule.backends?.find((each) => each.variant === variant)?.effectiveWeight === percent * 10_000
    })
    // What is written down is put in force right after it.
    await until(`${percent} of 100 requests`, async () => {
      let hits = 0
      // A few at a time: one after the other they wait for a busy machine a thousand times over.
      await Promise.all(Array.from({ length: 10 }, async () => {
        for (let i = 0; i < 10; i++) if (await this.ask() === variant) hits++
      }))
      return Math.abs(hits - percent) <= 1
    })
  }

  async ask(headers: Record<string, string> = {}): Promise<string | null> {
    const answer = await fetch(`${this.#running?.http}/v2/models/fraud/infer`, { method: 'POST', body: '{}', headers, signal: patience() })
    await answer.arrayBuffer()
    return answer.headers.get('x-modelroute-variant')
  }

  async command(body: unknown, headers: Record<string, string> = { 'content-type': 'application/json' }): Promise<{ status: number; body: { error?: string; rule?: RuleStatus } }> {
    const answer = await fetch(`${this.#running?.control}/rollout`, { method: 'POST', body: JSON.stringify(body), headers, signal: patience() })
    return { status: answer.status, body: await answer.json() as { error?: string; rule?: RuleStatus } }
  }

  async metrics(): Promise<string> {
    return (await fetch(`${this.#running?.control}/metrics`)).text()
  }
}

/** So that a request which is never answered is told as such. */
const patience = () => AbortSignal.timeout(30_000)
/** Milliseconds: of a machine that does much else. */
const limit = 220_000

async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000
  let last: unknown = 'that it is not so'
  while (!(await look().catch((error: unknown) => { last = error; return false }))) {
    if (Date.now() > deadline) assert.fail(`waited a minute: ${what}; last saw ${String(last)}`)
    await sleep(20)
  }
}

const about = { namespace: 'ml', route: 'fraud', rule: 'infer' }
/** Nobody's traffic is there to be judged, and nobody waits for minutes. */
const canary = (weight: number) => example('canary').replace(/ {6}analysis:.*/s, '')
  .replaceAll(/hold: 5m/g, 'approval: true').replace('weight: 0', `weight: ${100 - weight}`).replace('weight: 100}\n    rollout', `weight: ${weight}}\n    rollout`)

test('a canary goes from step to step, over a kill at each of them, and back when it is told to', { timeout: limit }, async (t) => {
  const gateway = await new Gateway(t).models()
  gateway.write(canary(0))
  await gateway.start()
  await gateway.reaches('Stable', 0)
  gateway.write(canary(100))
  for (const percent of [5, 25, 50]) {
    await gateway.reaches('AwaitingApproval', percent)
    await gateway.restart()
    await gateway.reaches('AwaitingApproval', percent)
    if (percent === 25) {
      const { specHash } = await gateway.rule() ?? {}
      assert.equal((await gateway.command({ ...about, action: 'promote', specHash: '0000' })).status, 409)
      assert.equal((await gateway.command({ ...about, action: 'pause', specHash })).body.rule?.phase, 'Paused')
      assert.equal((await gateway.command({ ...about, action: 'resume' })).body.rule?.phase, 'AwaitingApproval')
    }
    assert.equal((await gateway.command({ ...about, action: 'promote' })).status, 200)
  }
  await gateway.reaches('Stable', 100)
  assert.match(await gateway.metrics(), /modelroute_rollout_phase\{route="ml\/fraud",rule="infer",phase="Stable"\} 1/)
  assert.match(await gateway.metrics(), /modelroute_rollout_share\{route="ml\/fraud",rule="infer",variant="canary"\} 1/)
  assert.equal((await gateway.command({ ...about, action: 'undo' })).status, 200)
  await gateway.reaches('Aborted', 0)
  await gateway.restart()
  await gateway.reaches('Aborted', 0)
  assert.equal((await gateway.rule())?.revision, 1)
  gateway.write(canary(30))
  await gateway.reaches('AwaitingApproval', 5)
})

test('blue-green: testers see green first, then everybody at once, and nobody after an abort', { timeout: limit }, async (t) => {
  const gateway = await new Gateway(t).models()
  gateway.write(example('blue-green').replace('weight: 0', 'weight: 100').replace('weight: 100}\n    overrides', 'weight: 0}\n    overrides'))
  await gateway.start()
  await gateway.reaches('Stable', 0, 'green')
  gateway.write(example('blue-green'))
  await gateway.reaches('AwaitingApproval', 0, 'green')
  assert.equal(await gateway.ask({ 'x-preview': 'green' }), 'green')
  assert.equal((await gateway.command({ ...about, action: 'promote' })).status, 200)
  await gateway.reaches('Stable', 100, 'green')
  assert.equal((await gateway.command({ ...about, action: 'abort' })).body.rule?.phase, 'Aborted')
  await gateway.reaches('Aborted', 0, 'green')
  assert.equal((await gateway.command({ ...about, action: 'retry' })).body.rule?.phase, 'AwaitingApproval')
})

test('a canary that fails is taken back by the gate that sees it', { timeout: limit }, async (t) => {
  const broken = new Set<string>()
  const gateway = await new Gateway(t).models(broken)
  const manifest = (weight: number) => example('canary').replace('interval: 10s', 'interval: 1s').replace('minRequests: 200', 'minRequests: 5')
    .replace('percent: 5,', 'percent: 40,').replace('percent: 25,', 'percent: 60,').replace('percent: 50,', 'percent: 80,')
    .replace('weight: 0', `weight: ${100 - weight}`).replace('weight: 100}\n    rollout', `weight: ${weight}}\n    rollout`)
  gateway.write(manifest(0))
  await gateway.start()
  await gateway.reaches('Stable', 0)
  gateway.write(manifest(100))
  await gateway.reaches('Progressing', 40)
  broken.add('fraud-v2')
  const end = new AbortController()
  const load = (async () => {
    while (!end.signal.aborted) await gateway.ask()
  })()
  await until('it is aborted', async () => (await gateway.rule())?.phase === 'Aborted')
  end.abort()
  await load
  assert.match((await gateway.rule())?.message ?? '', /error-rate/)
  await gateway.reaches('Aborted', 0)
})

test('the control port takes no command that it cannot trust or understand', { timeout: limit }, async (t) => {
  const gateway = await new Gateway(t).models()
  gateway.write(canary(0))
  await gateway.start()
  const refused = async (body: unknown, headers?: Record<string, string>) => (await gateway.command(body, headers)).status
  assert.equal(await refused({ ...about, action: 'explode' }), 400)
  assert.equal(await refused({ ...about, action: 'promote', more: 1 }), 400)
  assert.equal(await refused({ ...about, action: 'promote', revision: 3 }), 400)
  assert.equal(await refused({ ...about, rule: 'other', action: 'abort' }), 404)
  assert.equal(await refused({ ...about, route: 'other', action: 'abort' }), 404)
  assert.equal(await refused({ ...about, action: 'promote' }), 409)
  assert.equal(await refused({ ...about, action: 'x'.repeat(5000) }), 413)
  assert.equal(await refused({ ...about, action: 'abort' }, { 'content-type': 'text/plain' }), 415)
  assert.equal(await refused({ ...about, action: 'abort' }, { 'content-type': 'application/json', origin: 'https://evil.example' }), 403)
})
