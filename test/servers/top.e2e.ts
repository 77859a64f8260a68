// `modelroute top` in a real terminal, over a real proxy.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test, type TestContext } from 'node:test'
import { startServing, type Served } from '../../cli/serve.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { freePorts } from '../free-ports.ts'
import { serviceAt } from '../manifests.ts'

const bin = join(import.meta.dirname, '../../cli/modelroute.js')
const escape = '\u001B'
const colour = new RegExp(`${escape}\\[[0-9;]*m`, 'g')
const [enter, leave, frame] = ['\u001B[?1049h', '\u001B[?1049l', '\u001B[?2026h\u001B[H']

/** Its output so far, and what is done to it. */
class Terminal {
  output = ''
  readonly child: ChildProcess
  #heard = Promise.withResolvers<undefined>()

  constructor(t: TestContext, words: readonly string[], env: Readonly<Record<string, string>> = {}, size: readonly [number, number] = [120, 30]) {
    const script = join(import.meta.dirname, 'terminal.py')
    this.child = spawn('python3', [script, ...size.map(String), process.execPath, bin, 'top', ...words], {
      stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, TERM: 'xterm-256color', NO_COLOR: '', ...env },
    })
    this.child.stdout?.setEncoding('utf8').on('data', (more: string) => {
      this.output += more
      this.#heard.resolve(undefined)
    })
    this.child.stdout?.on('end', () => this.#end())
    t.after(() => this.child.kill('SIGKILL'))
  }

  #ended = false

  #end(): void {
    this.#ended = true
    this.#heard.resolve(undefined)
  }

  order(order: object): void {
    this.child.stdin?.write(`${JSON.stringify(order)}\n`)
  }

  /** What is on the screen: the last frame that is whole, without colours. */
  get screen(): readonly string[] {
    const last = this.output.split(frame).slice(1).findLast((one) => one.includes('\u001B[?2026l'))?.split('\u001B[J')[0] ?? ''
    return last.replaceAll(colour, '').replaceAll('\u001B[K', '').split(/\r+\n/)
  }

  async until(what: string, holds: (screen: readonly string[]) => boolean): Promise<void> {
    const late = setTimeout(() => this.#heard.reject(new Error(`${what}: ${JSON.stringify(this.output.slice(-2000))}`)), 20_000)
    try {
      while (!holds(this.screen)) {
        assert.ok(!this.#ended, `${what}: it ended: ${this.output.slice(-2000)}`)
        await this.#heard.promise
        this.#heard = Promise.withResolvers<undefined>()
      }
    } finally {
      clearTimeout(late)
    }
  }

  /** The exit code, once the terminal was given back. */
  async ended(): Promise<number> {
    const [code] = await Promise.all([once(this.child, 'exit'), once(this.child.stdout ?? process.stdin, 'end')])
    assert.ok(code)
    assert.equal(this.output.split(enter).length, this.output.split(leave).length, 'each screen that was taken was given back')
    const rest = this.output.slice(this.output.lastIndexOf(leave) + leave.length)
    assert.match(rest, /^(?:\^C)?\s*ended -?\d+$/, 'nothing is drawn over the shell')
    assert.ok(this.output.includes('\u001B[?25h'))
    return Number(/ended (-?\d+)$/.exec(this.output)?.[1])
  }
}

const manifests = (port: number) => `
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: ml}
spec:
  rules:
  - name: infer
    matches: [{path: {value: /fraud}}]
    backendRefs: [{variant: stable, name: model, port: 8000, weight: 90}, {variant: canary, name: model, port: 8000, weight: 10}]
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: rank, namespace: shop}
spec:
  rules:
  - name: infer
    matches: [{path: {value: /rank}}]
    backendRefs: [{variant: only, name: model, port: 8000}]
---
${serviceAt('model', port, 'ml')}
---
${serviceAt('model', port, 'shop')}
`

suite('top in a terminal', () => {
  let served: Served
  let admin: string
  let control: string
  let folder: string
  const cleanups: (() => unknown)[] = []

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'top-'))
    const hold = { after: (fn: () => unknown) => { cleanups.push(fn) } } as unknown as TestContext
    const port = await httpUpstream(hold, (request, response) => void request.resume().once('end', () => response.end('{}')))
    writeFileSync(join(folder, 'all.yaml'), manifests(port))
    const [adminPort = 0, controlPort = 0] = await freePorts(2)
    served = await startServing({
      filename: [folder], host: '127.0.0.1', httpPort: 0, adminHost: '127.0.0.1', adminPort, controlPort,
      drainDelay: 0, drainTimeout: 1000, logLevel: 'error',
    })
    await served.started
    admin = `http://127.0.0.1:${adminPort}`
    control = `http://127.0.0.1:${controlPort}`
    const traffic = setInterval(() => void fetch(`${served.url}/fraud`).then((answer) => answer.text(), () => {}), 20)
    cleanups.unshift(() => clearInterval(traffic))
  })
  after(async () => {
    for (const cleanup of cleanups) await cleanup()
    await served?.end()
    rmSync(folder, { recursive: true, force: true })
  })

  const rate = (screen: readonly string[], name: string) => Number(screen.find((line) => line.startsWith(name))?.slice(name.length).trim().split(/\s+/)[0])

  test('shows live rates and shares; keys sort, filter and quit', async (t) => {
    const terminal = new Terminal(t, ['--admin', admin])
    await terminal.until('a rate of the stable variant', (screen) => rate(screen, 'ml/fraud infer stable') > 0 && rate(screen, 'ml/fraud infer canary') >= 0)
    assert.ok(terminal.output.includes('\u001B[1m'), 'titles are bold')
    const stable = terminal.screen.find((line) => line.startsWith('ml/fraud infer stable')) ?? ''
    assert.match(stable, /9\d\.\d%\s+90\.0%$|8\d\.\d%\s+90\.0%$/)
    terminal.order({ send: 'n' })
    await terminal.until('the order by name', ([title = '']) => title.includes('by name'))
    terminal.order({ send: '/rank\r' })
    await terminal.until('only what is meant', (screen) => screen.some((line) => line.startsWith('shop/rank')) && !screen.some((line) => line.startsWith('ml/fraud')))
    terminal.order({ send: 'q' })
    assert.equal(await terminal.ended(), 0)
  })

  test('follows the size of the terminal, however narrow, without a blank in between', async (t) => {
    const terminal = new Terminal(t, ['--admin', admin])
    await terminal.until('a rate', (screen) => rate(screen, 'ml/fraud infer stable') > 0)
    for (const [width, height] of [[50, 12], [20, 5], [140, 40]] as const) {
      terminal.order({ resize: [width, height] })
      await terminal.until(`${width} letters`, (screen) => screen.length <= height && screen.length > 1 && screen.every((line) => line.length === width))
    }
    assert.equal(terminal.output.includes('\u001B[2J'), false, 'it is never cleared')
    terminal.order({ send: '\u0003' })
    assert.equal(await terminal.ended(), 0)
  })

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
    test(`gives the terminal back on ${signal}`, async (t) => {
      const terminal = new Terminal(t, ['--admin', admin], { NO_COLOR: '1' })
      await terminal.until('a frame', (screen) => screen.length > 1)
      assert.doesNotMatch(terminal.output, colour, 'NO_COLOR')
      terminal.order({ signal })
      assert.equal(await terminal.ended(), 0)
    })
  }

  test('gives the terminal back when it crashes', async (t) => {
    const crash = join(folder, 'crash.mjs')
    writeFileSync(crash, 'process.once("SIGUSR2", () => { throw new Error("crashed") })')
    const terminal = new Terminal(t, ['--admin', admin], { NODE_OPTIONS: `--import ${crash}` })
    await terminal.until('a frame', (screen) => screen.length > 1)
    terminal.order({ signal: 'SIGUSR2' })
    const [code] = await Promise.all([once(terminal.child, 'exit'), once(terminal.child.stdout ?? process.stdin, 'end')])
    assert.ok(code)
    assert.match(terminal.output.slice(terminal.output.lastIndexOf(leave)), /crashed[\s\S]*ended [1-9]/)
  })

  test('says that nobody answers, keeps what it knew, and goes on when somebody does', async (t) => {
    const relay = createServer((request, response) => {
      fetch(`${admin}${request.url}`).then(async (answer) => response.writeHead(answer.status).end(await answer.text()), () => response.destroy())
    })
    const open = (port: number) => once(relay.listen(port, '127.0.0.1'), 'listening')
    await open(0)
    t.after(() => relay.close())
    const { port } = relay.address() as AddressInfo
    const terminal = new Terminal(t, ['--admin', `http://127.0.0.1:${port}`])
    await terminal.until('a rate', (screen) => rate(screen, 'ml/fraud infer stable') > 0)
    relay.close()
    relay.closeAllConnections()
    await terminal.until('the outage', (screen) => screen.some((line) => /cannot be reached: .*trying again/.test(line)) && rate(screen, 'ml/fraud infer stable') > 0)
    await open(port)
    await terminal.until('that it is over', (screen) => !screen.some((line) => line.includes('cannot be reached')))
    terminal.order({ send: 'q' })
    assert.equal(await terminal.ended(), 0)
  })

  test('shows a fleet, through the control port', async (t) => {
    const terminal = new Terminal(t, ['--control', control, '-n', 'ml'])
    await terminal.until('a rate, and the proxies', (screen) => rate(screen, 'ml/fraud infer stable') > 0 && (screen[0] ?? '').includes('1 proxies'))
    assert.ok(!terminal.screen.some((line) => line.startsWith('shop/')))
    terminal.order({ send: 'q' })
    assert.equal(await terminal.ended(), 0)
  })
})
