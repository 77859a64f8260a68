import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { suite, test, type TestContext } from 'node:test'
import type { ConsoleState, RuleFlow } from '../../table/console.ts'
import { readOptions } from '../options.ts'
import { top } from '../top.ts'
import { columnsFor, draw, lines, type Shown } from './draw.ts'
import { keysIn } from './keys.ts'
import { shotOf } from './rows.ts'
import { amount, fit, percent, time, visible } from './text.ts'

const flow = (requests: number, failed = 0): RuleFlow['flow'] => ({
  requests: requests * 10, failed, refused: 0, inFlight: 2, perSecond: { requests, failed, refused: 0, tokens: 1200, cost: 0.5 },
  latency: [], p50: 0.0012, p95: 0.025, p99: 1.5,
})
const rule = (route: string, canary: Partial<RuleFlow['variants'][number]> = {}): RuleFlow => ({
  route, rule: 'infer', flow: flow(100, 10),
  variants: [
    { variant: 'stable', modelVersion: '1', priority: 0, weight: 0.9, share: 0.91, flow: flow(91) },
    { variant: 'canary', modelVersion: '2', priority: 0, weight: 0.1, share: 0.09, flow: flow(9, 3), ...canary },
  ],
})
const state = (more: Partial<ConsoleState> = {}): ConsoleState => ({
  at: Date.UTC(2026, 1, 3, 4, 5, 6), server: { kind: 'proxy', name: 'p', release: '0.1.0', startedAt: 0, ready: true, processes: 1 },
  table: null, window: 1, bounds: [], total: flow(100, 10), endings: [], actions: { enabled: false },
  traffic: { total: 2, offset: 0, items: [rule('ml/fraud'), rule('shop/rank')] },
  limits: {
    callers: [],
    list: { total: 2, offset: 0, items: [
      { policy: 'ml/tiers', limit: 'daily', terms: '', shadow: false, decisions: [{ decision: 'rejected', count: 40, perSecond: 4 }, { decision: 'allowed', count: 9, perSecond: 1 }] },
      { policy: 'ml/tiers', limit: 'quiet', terms: '', shadow: false, decisions: [{ decision: 'allowed', count: 9, perSecond: 1 }] },
    ] },
  },
  endpoints: {
    open: 1, states: [],
    list: { total: 1, offset: 0, items: [{
      process: '1', route: 'ml/fraud', rule: 'infer', variant: 'canary', modelVersion: '2', circuit: 'open', inside: null, waiting: null, held: 0,
      endpoints: [{ endpoint: '10.0.0.1:80', state: 'ejected', inFlight: 0 }], omitted: 0,
    }] },
  },
  ...more,
})
const all = () => true
const shot = (more: Partial<ConsoleState> = {}) => shotOf(state(more), state(more), state(more), all)
const shown = (more: Partial<Shown> = {}): Shown =>
  ({ shot: shot(), from: 'http://127.0.0.1:9901', problem: undefined, sort: 'requests', filter: '', offset: 0, keys: true, ...more })
const text = (of: readonly Readonly<{ text: string }>[]) => of.map((line) => line.text).join('\n')

suite('the screen of top', () => {
  test('has a line a version of a variant, its share beside its weight, and what is in trouble', () => {
    const drawn = draw(shown(), 120, 24)
    const screen = text(drawn)
    assert.match(screen, /100 req\/s {2}10\.0% errors {2}p50 1\.20ms {2}p95 25\.0ms {2}p99 1\.50s {2}2 in flight {2}1\.20k tokens\/s {2}0\.50 cost\/s/)
    assert.match(screen, /ml\/fraud infer stable v1 +91 +0% +1\.20ms +25\.0ms +1\.50s +2 +1\.20k +0\.50 +91\.0% +90\.0%/)
    assert.match(screen, /! ml\/fraud infer canary v2 +9 +33\.3% .* 9\.00% +10\.0%/)
    assert.match(screen, /circuit open: ml\/fraud infer canary v2, 1 endpoints out/)
    assert.match(screen, /limit hit: ml\/tiers daily 4\/s, 40 in all/)
    assert.doesNotMatch(screen, /quiet/)
    assert.equal(drawn.find((line) => line.text.startsWith('!'))?.tone, 'bad')
  })

  for (const [width, height] of [[200, 50], [80, 24], [60, 12], [40, 8], [24, 4], [10, 2], [1, 1]] as const) {
    test(`is never larger than a terminal of ${width} × ${height}, and its lines are all as wide`, () => {
      const drawn = draw(shown({ problem: 'http://127.0.0.1:9901 cannot be reached: connect ECONNREFUSED; trying again' }), width, height)
      assert.ok(drawn.length <= height && drawn.length > 0)
      assert.ok(drawn.every((line) => line.text.length === width), text(drawn))
    })
  }

  test('leaves out the figures that matter least where there is no room, and keeps the rates', () => {
    assert.equal(columnsFor(120).length, 10)
    assert.deepEqual(columnsFor(60).map(({ title }) => title), ['REQ/S', 'ERR', 'P95', 'SHARE'])
    assert.deepEqual(columnsFor(20).map(({ title }) => title), ['REQ/S'])
  })

  test('scrolls, and shows what it knew last with the reason why that is old', () => {
    const rest = text(draw(shown({ offset: 2, problem: 'gone; trying again' }), 100, 24))
    assert.ok(rest.includes('gone; trying again') && rest.includes('shop/rank') && !rest.includes('ml/fraud infer stable'))
    assert.match(text(draw(shown({ shot: undefined, problem: 'gone' }), 100, 24)), /gone/)
  })

  test('tells a fleet how many proxies are behind or refuse', () => {
    const proxy = { node: 'p', gateway: 'default', version: 'v', current: true, connectedAt: null, refused: 0, requestsPerSecond: 1 }
    const fleet = shot({ proxies: [proxy, { ...proxy, current: false }, { ...proxy, refused: 2 }] })
    assert.match(text(draw(shown({ shot: fleet }), 120, 24)), /3 proxies, 1 behind, 1 refuse routes/)
  })
})

suite('what others chose the names of', () => {
  const hostile = 'v\u001B[2J\u009B31m\u202Etxt\u0007\r\n名'

  test('is written out, so that it moves no cursor and colours nothing', () => {
    assert.equal(visible(hostile), 'v\\u{1b}[2J\\u{9b}31m\\u{202e}txt\\u{7}\\u{d}\\u{a}\\u{540d}')
    const bad = shot({ traffic: { total: 1, offset: 0, items: [rule('ml/fraud', { modelVersion: hostile })] } })
    for (const line of [...draw(shown({ shot: bad, problem: hostile, filter: hostile, from: hostile }), 200, 30).map((one) => one.text), ...lines(bad).split('\n')]) {
      assert.match(line, /^[\x20-\x7e]*$/)
    }
  })
})

test('figures are short and true to the unit', () => {
  assert.deepEqual([0, 0.254, 9.996, 12.54, 99.96, 980, 999.6, 12_540, 3e9, null].map((value) => amount(value)), ['0', '0.25', '10.0', '12.5', '100', '980', '1.00k', '12.5k', '3.00G', '-'])
  assert.deepEqual([0, 0.0025, 0.125, 1, null].map((value) => percent(value)), ['0%', '0.25%', '12.5%', '100%', '-'])
  assert.deepEqual([0.00025, 0.0125, 1.25, 125].map((value) => time(value)), ['250us', '12.5ms', '1.25s', '125s'])
  assert.deepEqual([fit('abcdef', 4), fit('ab', 4, 'right'), fit('a', 0)], ['abc~', '  ab', ''])
})

test('keys are read as terminals send them, several at once', () => {
  assert.deepEqual(keysIn('q\u001B[A\u001BOB\u001B[5~\u001B[6~\u001B[H\r\u007F/\u0003\u001B'), ['q', 'up', 'down', 'page-up', 'page-down', 'home', 'enter', 'backspace', '/', 'interrupt', 'escape'])
  assert.deepEqual(keysIn('\u001B[99;5Zx'), ['x'])
})

suite('top without a terminal', () => {
  type Asked = { searches: URLSearchParams[] }
  async function console(t: TestContext, answer: (asked: number) => Partial<ConsoleState>): Promise<Asked & { url: string; server: Server }> {
    const searches: URLSearchParams[] = []
    const server = createServer((request, response) => {
      searches.push(new URL(request.url ?? '', 'http://x').searchParams)
      response.end(JSON.stringify(state(answer(searches.length))))
    })
    server.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    t.after(() => server.close())
    return { searches, server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  }
  async function run(words: readonly string[]) {
    const options = readOptions('top', words, {})
    assert.ok(!('usage' in options), 'usage' in options ? options.usage.join() : '')
    let [out, err] = ['', '']
    const code = await top(options, { stdout: (more) => { out += more }, stderr: (more) => { err += more } })
    return { code, out, err }
  }

  test('says one look as a line a row, once there are rates, and only of the namespace that is meant', async (t) => {
    const { url, searches } = await console(t, (asked) => asked <= 3 ? { window: null } : {})
    const { code, out } = await run(['--admin', url, '--once', '-n', 'ml', '--sort', 'errors', '--filter', 'fraud'])
    assert.equal(code, 0)
    assert.match(out, /^2026-02-03T04:05:06\.000Z total req\/s=100 err=10\.0% /)
    assert.match(out, /\n\S+ ml\/fraud infer canary v2 req\/s=9 .* circuit=open\n/)
    assert.match(out, /\n\S+ limit ml\/tiers daily rejected\/s=4 rejected=40\n$/)
    assert.doesNotMatch(out, /shop/)
    assert.deepEqual(searches.slice(-3).map((search) => [search.get('view'), search.get('search')]).toSorted(([a], [b]) => String(a).localeCompare(String(b))), [['endpoints', 'ml/ fraud'], ['limits', 'ml/'], ['traffic', 'ml/ fraud']])
    assert.equal(searches.find((search) => search.get('view') === 'traffic')?.get('sort'), 'errors')
  })

  test('is one JSON document a look with -o json, for programs', async (t) => {
    const { url } = await console(t, () => ({}))
    const { out } = await run(['--control', url, '--once', '-o', 'json'])
    const told = JSON.parse(out) as { rows: { route: string; errors: number; open: boolean }[] }
    assert.deepEqual(told.rows.map(({ route, open }) => [route, open]), [['ml/fraud', false], ['ml/fraud', true], ['shop/rank', false], ['shop/rank', false]])
  })

  test('says who does not answer, and why', async (t) => {
    const { url, server } = await console(t, () => ({}))
    await assert.rejects(run(['--admin', `${url.slice(0, url.lastIndexOf(':'))}:1`, '--once']), /^Error: http:\/\/127\.0\.0\.1:1 cannot be reached: /)
    server.removeAllListeners('request').on('request', (_, response) => response.writeHead(404).end('not found'))
    await assert.rejects(run(['--admin', url, '--once']), /answers 404: not found/)
    server.removeAllListeners('request').on('request', (_, response) => response.end('{"at":1}'))
    await assert.rejects(run(['--admin', url, '--once']), /no console of this release/)
  })

  test('takes addresses only, and rates of a second at least', () => {
    for (const words of [['--admin', '127.0.0.1:9901'], ['--admin', 'http://a/b'], ['--admin', 'http://a', '--control', 'http://b'], ['--interval', '500ms'], ['-n', 'a', '-n', 'b']]) {
      assert.ok('usage' in readOptions('top', words, {}), words.join(' '))
    }
  })
})
