import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { startServing } from '../../cli/serve.ts'
import { httpUpstream } from '../../test/dataplane/sockets.ts'
import { serviceAt } from '../../test/manifests.ts'
import '../../test/steady.ts'

const root = join(import.meta.dirname, '../..')
const docs = readFileSync(join(root, 'docs/ab-testing.md'), 'utf8')
const route = readFileSync(join(import.meta.dirname, 'route.yaml'), 'utf8')

test('the route of docs/ab-testing.md is the one of the example', () => {
  const shown = /```yaml\n(.*?)```/s.exec(docs)?.[1]
  assert.equal(shown, route.split('\n').filter((line) => !line.startsWith('#')).join('\n'))
})

/** The gateway over the example, with two versions of the model, and its audit log in `audit.jsonl`. */
async function shop(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'ab-'))
  const model = (name: string) => httpUpstream(t, (request, response) => { request.resume().once('end', () => response.end(name)) })
  writeFileSync(join(folder, 'all.yaml'), [route, serviceAt('price-a', await model('a'), 'shop'), serviceAt('price-b', await model('b'), 'shop')].join('\n---\n'))
  const log = join(folder, 'audit.jsonl')
  const served = await startServing({
    filename: [join(folder, 'all.yaml')], host: '127.0.0.1', httpPort: 0, adminHost: '127.0.0.1', adminPort: 0, controlPort: 0,
    drainDelay: 0, drainTimeout: 60_000, logLevel: 'error', audit: log,
  })
  t.after(async () => {
    await served.end()
    rmSync(folder, { recursive: true })
  })
  await served.started
  const suggest = async (user: string) => {
    const answer = await fetch(`${served.url}/v1/models/price:predict`, { method: 'POST', body: '{}', headers: { 'x-user': user } })
    assert.equal(answer.status, 200)
    return { variant: await answer.text(), request_id: answer.headers.get('x-request-id') }
  }
  return { folder, log, suggest, end: () => served.end() }
}

/** From 0 to 1, the same for the same user: what they do does not hang on chance. */
function mood(user: string): number {
  let hash = 0
  for (const character of `${user}!`) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) >>> 0
  return ((Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 8) & 0xffff) / 0x10000
}

test('the analysis of the example finds who got what, and the difference that there is', { timeout: 200_000 }, async (t) => {
  const { folder, log, suggest, end } = await shop(t)
  const users = Array.from({ length: 600 }, (_, n) => `u-${n}`)
  const outcomes: string[] = []
  const saw = { a: 0, b: 0, bought: 0 }
  for (const user of users) {
    const [first, second] = await Promise.all([suggest(user), suggest(user)])
    assert.equal(second.variant, first.variant)
    const bought = Number(mood(user) < (first.variant === 'a' ? 0.3 : 0.45))
    saw[first.variant as 'a' | 'b']++
    saw.bought += bought
    outcomes.push(JSON.stringify({ request_id: first.request_id, user, bought }))
  }
  outcomes.push(JSON.stringify({ request_id: 'of another day', user: 'u-0', bought: 1 }))
  // All of the log is on disk.
  await end()
  writeFileSync(join(folder, 'outcomes.jsonl'), outcomes.join('\n'))
  const [, command = ''] = /```bash\n(node .*?)\n```/.exec(docs) ?? []
  const words = command.split(' ').slice(1)
    .map((word) => (word === 'audit.jsonl' ? log : word === 'outcomes.jsonl' ? join(folder, word) : word))
  const { stdout } = await promisify(execFile)(process.execPath, words, { cwd: root })
  const [, usersA, meanA, usersB, meanB, difference, low, high, p] = /^a: (\d+) users, mean ([\d.]+)\nb: (\d+) users, mean ([\d.]+)\nb - a: ([-\d.]+), 95 % between ([-\d.]+) and ([-\d.]+), p ([\d.]+)\nleft out: 1 outcomes/.exec(stdout)
    ?.map(Number) ?? []
  assert.deepEqual([usersA, usersB], [saw.a, saw.b], stdout)
  assert.equal(Math.round((meanA ?? 0) * saw.a + (meanB ?? 0) * saw.b), saw.bought)
  assert.ok(Math.abs((difference ?? 0) - 0.15) < 0.08 && (low ?? 0) > 0 && (high ?? 0) < 0.3 && (p ?? 1) < 0.01, stdout)
  assert.doesNotMatch(stdout, /not as the weights say/)
  assert.equal(/```text\n(.*?)```/s.exec(docs)?.[1], stdout.replace(/^left out: 1 outcomes.*\n/m, ''))
})

test('the analysis says where groups are not as they should be, and who saw both versions', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ab-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const at = (name: string) => join(folder, name)
  const users = Array.from({ length: 300 }, (_, n) => ({ id: `r-${n}`, user: `u-${n}`, variant: n % 3 === 0 ? 'b' : 'a', bought: n % 2 }))
  const log = users.map(({ id, variant }) => ({ msg: 'request', request_id: id, variant, status: 200 }))
  const both = [{ msg: 'request', request_id: 'again', variant: 'b', status: 200 }, { msg: 'request', request_id: 'failed', variant: 'b', status: 500 }]
  writeFileSync(at('log'), [...log, ...both].map((line) => JSON.stringify(line)).join('\n'))
  const outcomes = [...users.map(({ id, user, bought }) => ({ request_id: id, user, bought })), { request_id: 'again', user: 'u-1', bought: 1 }, { request_id: 'failed', user: 'u-2', bought: 1 }]
  writeFileSync(at('outcomes'), outcomes.map((line) => JSON.stringify(line)).join('\n'))
  const { stdout } = await promisify(execFile)(process.execPath, ['examples/ab/compare.ts', '--log', at('log'), '--outcomes', at('outcomes'), '--value', 'bought'], { cwd: root })
  assert.match(stdout, /^a: 199 users, .*\nb: 100 users, /)
  assert.match(stdout, /^left out: 1 users that saw both$/m)
  assert.match(stdout, /^left out: 1 outcomes without a request in the log$/m)
  assert.match(stdout, /^the groups are not as the weights say \(p 0\.0000\)/m)
})
