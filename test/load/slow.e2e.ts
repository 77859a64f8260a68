// A thousand clients that send or read as slowly as they can (slowhttptest), while others want to be served as ever.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { after, before, suite, test } from 'node:test'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { adopt } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { percentile, startLoad } from '../load.ts'
import { ensurePackage } from '../servers/debian.ts'
import { backend, startServe, type Serving } from '../servers/serve.ts'
import { holds } from '../machine.ts'

const connections = 1000
const places = 1500
/** Seconds in which they must be cut, from the first of them on: ten, and some for a machine with other things to do. */
const cutWithin = 15
/** Milliseconds; below it two percentiles are not told apart from what else the machine does. */
const noise = 3

suite('slow clients', () => {
  const large = Buffer.alloc(256 * 1024, 'x')
  const server = createServer((request, response) => {
    request.on('error', () => {}).resume()
    if (request.url === '/large') response.end(large)
    else request.on('end', () => response.end('ok'))
  })
  let gateway: Serving
  let slowhttptest = ''
  before(async () => {
    slowhttptest = await ensurePackage('/usr/bin/slowhttptest', 'slowhttptest')
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
    const limits = ['--max-connections', String(places), '--max-connections-per-address', String(places), '--log-level', 'error']
    gateway = await startServe(backend('one', [(server.address() as AddressInfo).port], '/'), ...limits)
    await p99()
  }, { timeout: 240_000 })
  after(async () => {
    await gateway?.stop()
    server.closeAllConnections()
    server.close()
  })

  /**
   * Milliseconds below which 99 of 100 requests are answered, at 200 a second, in the best of many short windows: what
   * else a machine does comes and goes, and a thousand connections stay.
   */
  async function p99(): Promise<number> {
    const each: number[] = []
    for (let n = 0; n < 5; n++) {
      const load = startLoad({ targets: [gateway.urls['http'] ?? ''], path: '/x', body: 'x', rate: 200, limit: 100 })
      await new Promise((resolve) => { setTimeout(resolve, 550) })
      const samples = await load.stop()
      assert.deepEqual(samples.filter(({ status }) => status !== 200).slice(0, 3), [])
      each.push(percentile(samples.map(({ ms }) => ms), 0.99))
    }
    return Math.min(...each)
  }

  /** Connections of clients that the gateway holds, by the kernel's list: established, to its port. */
  function open(): number {
    const port = Number(new URL(gateway.urls['http'] ?? '').port).toString(16).toUpperCase().padStart(4, '0')
    return readFileSync('/proc/net/tcp', 'utf8').match(new RegExp(`^ *\\d+: [0-9A-F]{8}:${port} [0-9A-F]{8}:[0-9A-F]{4} 01 `, 'gm'))?.length ?? 0
  }
  const wait = (what: string, done: () => boolean) => until(what, () => Promise.resolve(done()), { timeout: 60_000, every: 20 })

  function attack(mode: readonly string[], path: string): { child: ChildProcess; ended: Promise<void> } {
    const url = `${gateway.urls['http'] ?? ''}${path}`
    const words = [...mode, '-c', String(connections), '-r', '1000', '-i', '3', '-l', '60', '-u', url]
    const child = spawn(slowhttptest, words, { stdio: 'ignore' })
    adopt(child)
    return { child, ended: new Promise<void>((resolve) => { child.once('close', () => resolve()) }) }
  }

  for (const [name, mode, path] of [
    ['heads', ['-H'], '/x'],
    ['bodies', ['-B', '-s', '8192'], '/x'],
    ['readers', ['-X', '-w', '512', '-y', '1024', '-n', '5', '-z', '32'], '/large'],
  ] as const) {
    test(`${connections} slow ${name} are cut, and others do not notice`, { timeout: 400_000 }, async (t) => {
      await holds(t, {
        measure: async () => {
          const quiet = await p99()
          const begun = performance.now()
          const { child, ended } = attack(mode, path)
          await wait('the connections', () => open() > places / 2)
          const meanwhile = await p99()
          // Those that send too slowly are cut in any case; those whose answer the kernel holds, as long as they take the places of others.
          await wait('them to be cut', () => open() <= (name === 'readers' ? places / 2 : connections / 100))
          const seconds = (performance.now() - begun) / 1000
          child.kill()
          await ended
          await wait('the last to go', () => open() <= connections / 100)
          t.diagnostic(`cut after ${seconds.toFixed(1)} s; p99 ${meanwhile.toFixed(2)} ms, and ${quiet.toFixed(2)} ms without them: ${(meanwhile / quiet).toFixed(2)} times`)
          return { quiet, meanwhile, seconds }
        },
        fault: ({ quiet, meanwhile, seconds }) =>
          seconds > cutWithin ? `the last was cut after ${seconds.toFixed(1)} s`
            : meanwhile > Math.max(quiet * 1.2, quiet + noise) ? `p99 ${meanwhile.toFixed(2)} ms, and ${quiet.toFixed(2)} without them` : undefined,
      })
    })
  }
})
