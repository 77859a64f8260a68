import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { adopt } from '../cluster/process.ts'

const kills = Number(process.env['MODELROUTE_TEST_KILLS'] ?? 200)
/** Proxies with a ledger of their own each: one starts while another one serves and dies. */
const lanes = 3
const clients = 8
/** Bytes of answers: one piece, several, and more than a socket takes at once. */
const sizes = [2, 3, 2000, 20_001, 5, 4, 80_001, 7, 2, 300_000]
const program = join(import.meta.dirname, 'fixtures/ledger-proxy.ts')
const writer = join(import.meta.dirname, 'fixtures/ledger-writer.ts')

/** Answers of several framings and sizes, so that the kill meets each on its way. */
async function backend(t: TestContext): Promise<number> {
  const server = createServer((asked, response) => {
    asked.resume().on('end', () => {
      const size = Number(new URL(asked.url ?? '', 'http://a').searchParams.get('size'))
      if (size % 2 === 0) response.end('x'.repeat(size))
      else {
        response.write('x'.repeat(size))
        setImmediate(() => response.end('y'))
      }
    })
  }).listen(0, '127.0.0.1')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** One answer to its last byte. */
function ask(agent: Agent, port: string, id: string, size: number): Promise<boolean> {
  return new Promise((resolve) => {
    request({ agent, port, host: '127.0.0.1', path: `/?size=${size}`, headers: { 'x-request-id': id } }, (answer) => {
      answer.on('end', () => resolve(answer.complete)).on('error', () => resolve(false)).resume()
    }).on('error', () => resolve(false)).end()
  })
}

test('proxies are killed again and again under traffic: every answer that a client has stands in the ledger', { timeout: 540_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const to = await backend(t)
  const env = { ...process.env, NODE_COMPILE_CACHE: join(folder, 'compiled') }
  const died: string[] = []
  let [left, answered, torn] = [kills, 0, 0]

  /** Starts a proxy that goes on with a ledger, and kills it in the midst of what it answers. @returns how long the ledger is then */
  async function kill(n: number, file: string, from: number): Promise<number> {
    const child = spawn(process.execPath, [program, String(to), file], { stdio: ['ignore', 'pipe', 'inherit'], env })
    adopt(child)
    const exit = once(child, 'exit')
    const [text] = (await Promise.race([once(child.stdout, 'data'), exit])) as [Buffer | number]
    assert.ok(Buffer.isBuffer(text), `kill ${n}: the proxy ended before it served`)
    const port = text.toString().trim()
    const agent = new Agent({ keepAlive: true })
    const seen: string[] = []
    const enough = 1 + Math.floor(Math.random() * 60)
    await Promise.all(Array.from({ length: clients }, async (_, client) => {
      for (let i = 0; ; i++) {
        const id = `r-${n}-${client}-${i}`
        if (!await ask(agent, port, id, sizes[(client + i) % sizes.length] ?? 2)) return
        seen.push(id)
        // In the midst of what the others are asking for.
        if (seen.length === enough) child.kill('SIGKILL')
      }
    }))
    agent.destroy()
    const [, signal] = (await exit) as [number | null, string | null]
    died.push(String(signal))
    const lines = (await readFile(file)).subarray(from).toString().split('\n')
    const recorded = new Set(lines.flatMap((line) => /^\{"request_id":"([^"]+)".*\}$/.exec(line)?.[1] ?? []))
    assert.deepEqual(seen.filter((id) => !recorded.has(id)), [], `kill ${n}: answered, and in no record`)
    assert.ok(seen.length >= enough)
    answered += seen.length
    // The last may be cut short by the kill; what comes next begins a line of its own.
    if (lines.at(-1) !== '') torn++
    return (await stat(file)).size
  }

  // What a process that is killed has compiled is lost with it: the first keeps it for all.
  await kill(left--, join(folder, 'first.jsonl'), 0)
  await Promise.all(Array.from({ length: lanes }, async (_, lane) => {
    const file = join(folder, `${lane}.jsonl`)
    for (let from = 0; left > 0;) from = await kill(left--, file, from)
  }))
  t.diagnostic(`${died.length} kills, ${answered} answers, each in the ledger; ${torn} lines were cut short`)
  assert.deepEqual(died, Array<string>(kills).fill('SIGKILL'))
})

test('several processes fill one file and put it aside as it grows, others move it away: no line is lost or cut', { timeout: 120_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [writers, lines] = [4, 5000]
  const path = join(folder, 'usage.jsonl')
  const children = Array.from({ length: writers }, (_, name) => {
    const child = spawn(process.execPath, [writer, path, '20000', String(lines), String(name)], { stdio: ['pipe', 'pipe', 'inherit'] })
    adopt(child)
    return { child, ready: once(child.stdout, 'data'), exit: once(child, 'exit') }
  })
  await Promise.all(children.map(({ ready }) => ready))
  for (const { child } of children) child.stdin.write('go')
  let moved = 0
  // As logrotate does.
  while (children.some(({ child }) => child.exitCode === null && child.signalCode === null)) {
    await rename(path, join(folder, `usage.jsonl.moved-${moved}`)).then(() => moved++, () => {})
    await turn()
  }
  assert.deepEqual((await Promise.all(children.map(({ exit }) => exit))).map(([code]) => code as unknown), Array(writers).fill(0))
  const files = await readdir(folder)
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))
  const got = texts.flatMap((text) => text.split('\n').filter((line) => line !== '').map((line) => (JSON.parse(line) as { line: string }).line))
  t.diagnostic(`${files.length} files, ${moved} of them moved away`)
  assert.deepEqual(got.toSorted(), Array.from({ length: writers }, (_, name) => Array.from({ length: lines }, (__, n) => `${name}-${n}`)).flat().sort())
  assert.ok(files.length > 10)
})
