// What a cache must keep to over a million requests: nobody gets another one's answer, and three of ten are spared.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { policy, proxyWith } from '../dataplane/caching.ts'
import type { Crossings } from '../dataplane/crossing.ts'

const million = 1_000_000
const run = promisify(execFile)

test('of a million requests of many callers, none is given an answer that is another one\'s', { timeout: 900_000 }, async (t) => {
  // In two processes: one has one core.
  const halves = await Promise.all([7, 8].map(async (seed) => {
    const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'fixtures/crossings.ts'), String(million / 2), '64', String(seed)])
    return JSON.parse(stdout) as Crossings
  }))
  const sum = (key: 'requests' | 'hits' | 'calls') => halves.reduce((all, half) => all + half[key], 0)
  const [requests, hits, calls, crossings] = [sum('requests'), sum('hits'), sum('calls'), halves.flatMap((half) => half.crossings)]
  t.diagnostic(`${requests} requests, ${hits} hits, ${calls} calls of backends, ${crossings.length} crossings`)
  assert.deepEqual(crossings, [])
  assert.ok(requests >= million && hits > requests / 2)
})

test('of traffic whose requests are another one again in three cases of ten, three of ten are not asked of a backend', { timeout: 300_000 }, async (t) => {
  const count = 20_000
  const { proxy, seen } = await proxyWith(t, policy({ maxBytes: 67_108_864 }), (_, response) => response.end('{"predictions":[1]}'))
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  t.after(() => agent.destroy())
  const ask = (body: string) => new Promise<void>((resolve, reject) => {
    request(new URL('/v1/models/fraud:predict', proxy.url), { method: 'POST', agent, headers: { 'content-type': 'application/json' } }, (answer) => {
      answer.resume().once('end', resolve).once('error', reject)
    }).once('error', reject).end(body)
  })
  // Exactly three of ten, spread evenly; which one comes again is another one each time, and so is the order of its members.
  const bodies: string[] = []
  let distinct = 0
  for (let i = 0; i < count; i++) {
    const again = i > 10 && i % 10 < 3
    const of = again ? (i * 7919) % distinct : distinct++
    bodies.push(again && i % 2 === 0 ? `{"x":${of}.0,"instances":[[${of}]]}` : `{"instances":[[${of}]],"x":${of}}`)
  }
  const duplicates = count - distinct
  let at = 0
  await Promise.all(Array.from({ length: 32 }, async () => {
    while (at < count) await ask(bodies[at++] ?? '')
  }))
  const saved = (count - seen.length) / count
  t.diagnostic(`${count} requests, ${duplicates} of them again: ${seen.length} calls, ${(saved * 100).toFixed(2)} % fewer`)
  assert.ok(saved >= 0.295, String(saved))
  assert.equal(seen.length, distinct)
})

test('a thousand like it at once are one request to the backend', { timeout: 120_000 }, async (t) => {
  const waiting: (() => void)[] = []
  const { proxy, seen, arrivals } = await proxyWith(t, policy(), (_, response, call) => { waiting.push(() => response.end(`answer ${call}`)) })
  const agent = new Agent({ keepAlive: true, maxSockets: 1000 })
  t.after(() => agent.destroy())
  const ask = () => new Promise<string>((resolve, reject) => {
    request(new URL('/v1/models/fraud:predict', proxy.url), { method: 'POST', agent }, (answer) => {
      let text = String(answer.headers['x-modelroute-cache'])
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += ` ${chunk}`)).once('end', () => resolve(text)).once('error', reject)
    }).once('error', reject).end('{}')
  })
  const all = Array.from({ length: 1000 }, ask)
  while (arrivals() < 1000) await new Promise((resolve) => setTimeout(resolve, 10))
  waiting[0]?.()
  const answers = await Promise.all(all)
  assert.equal(seen.length, 1)
  assert.deepEqual(answers.toSorted().slice(0, 999), Array<string>(999).fill('hit answer 1'))
  assert.equal(answers.filter((one) => one === 'miss answer 1').length, 1)
})
