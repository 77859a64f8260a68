import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { request, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { anonymous, type Authenticate } from '../../dataplane/pipeline/principal.ts'
import { readPriceList } from '../../dataplane/prices/list.ts'
import type { Limit } from '../../table/limits.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream, type Owner } from './sockets.ts'
import { active, route, rule } from './table.ts'

const root = await mkdtemp(join(tmpdir(), 'modelroute-ledger-'))
after(() => rm(root, { recursive: true, force: true }))

const answering = (t: Owner) => httpUpstream(t, (request, response) => {
  request.resume().on('end', () => response.setHeader('content-type', 'application/json').end('{}'))
})

test('whatever callers and models are called, a record is one line of JSON, in the ledger and in the log', async (t) => {
  const names = ['a\nb', 'a\r\n{"status":200}', '","status":"', 'a\u2028b\u2029c', '\ud800', 'x\udc00y', '\u0000\u001b[2J', '\u0085\u009b31m', '\\', 'x'.repeat(255) + '\u{1f600}', 'a\tb', '{"a":1}\n']
  let consumer = ''
  const authenticate: Authenticate = () => ({ ...anonymous, via: 'jwt', consumer, tier: consumer })
  const path = join(root, 'usage.jsonl')
  // What models cost is looked for in bodies.
  const prices = readPriceList({ currency: 'EUR', prices: [{ name: 'all', inputTokens: '1' }] })
  assert.ok('prices' in prices)
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ auth: { anyOf: [], anonymous: true } })] })], { 'ml/s:80': [await answering(t)] }), {
    prices, ledger: { to: { to: 'file', path } }, filterDeps: { authenticators: () => authenticate },
  })
  for (const name of names) {
    consumer = name
    const answer = await fetch(`${proxy.url}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: name, messages: [] }) })
    assert.equal(answer.status, 200)
    await answer.arrayBuffer()
  }
  await eventually(() => proxy.lines().length === names.length)
  const text = await readFile(path, 'utf8')
  for (const all of [text, proxy.text()]) {
    // As strict as any reader of lines: some end one at these, and terminals do what some say.
    assert.doesNotMatch(all, /[^\n\x20-\x7e\xa0-\u2027\u202a-\uffff]/)
    assert.ok(all.split('\n').every((line) => line === '' || typeof JSON.parse(line) === 'object'))
  }
  const records = text.trimEnd().split('\n').map((line) => JSON.parse(line) as { consumer: string; tier: string; model: string; status: number })
  const cut = (name: string) => name.length > 256 ? `${name.slice(0, 256)}…` : name
  assert.deepEqual(records.map((one) => [one.consumer, one.tier, one.model, one.status]), names.map((name) => [cut(name), cut(name), cut(name), 200]))
})

test('a price of a model is for the requests that name it in their bodies, whether or not a limit counts them too', async (t) => {
  const prices = readPriceList({ currency: 'EUR', prices: [{ name: 'large', models: ['large'], requests: '2' }, { name: 'all', requests: '1' }] })
  assert.ok('prices' in prices)
  const upstream = await answering(t)
  const path = join(root, 'priced.jsonl')
  const limited: Limit = {
    policy: 'ml/calls', name: 'calls', appliesTo: { tiers: [], groups: [], consumers: [], models: [] },
    counters: [{ type: 'Principal' }], algorithm: { type: 'FixedWindow', window: 'month' }, amount: 1_000_000, unit: 'tokens', scope: 'Local', shadow: false, onStoreFailure: 'Local',
  }
  const proxy = await testProxy(t, active('1', [
    route({ id: 'ml/open', hostnames: ['open'] }), route({ id: 'ml/limited', hostnames: ['limited'], rules: [rule({ limits: [limited] })] }),
  ], { 'ml/s:80': [upstream] }), { prices, ledger: { to: { to: 'file', path } } })
  const told: string[] = []
  for (const host of ['open', 'limited']) {
    for (const model of ['large', 'small']) {
      await new Promise((resolve, reject) => {
        request(new URL('/v1/chat/completions', proxy.url), { method: 'POST', headers: { host, 'content-type': 'application/json' } }, (answer) => {
          answer.resume().once('end', resolve)
        }).once('error', reject).end(JSON.stringify({ messages: [], model }))
      })
      const { route: by, model: named, cost } = JSON.parse((await readFile(path, 'utf8')).trimEnd().split('\n').at(-1) ?? '') as { route: string; model: string; cost: number }
      told.push(`${by} ${named} ${cost}`)
    }
  }
  assert.deepEqual(told, ['ml/open large 2', 'ml/open small 1', 'ml/limited large 2', 'ml/limited small 1'])
})

for (const folder of [undefined, join(root, 'spool')]) {
  test(`a server for records that never answers holds up no request (they wait ${folder === undefined ? 'in memory' : 'on disk'}), and gets all once it does`, async (t) => {
    const hanging: ServerResponse[] = []
    let [open, got] = [false, '']
    const sink = await httpUpstream(t, (request, response) => {
      let body = ''
      request.setEncoding('utf8').on('data', (piece: string) => { body += piece }).on('end', () => {
        if (!open) hanging.push(response)
        else response.end()
        got += body
      })
    })
    const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [await answering(t)] }), { ledger: { to: { to: 'http', url: `http://127.0.0.1:${sink}/` }, folder } })
    const ask = async (id: string) => {
      const answer = await fetch(proxy.url, { headers: { 'x-request-id': id } })
      await answer.arrayBuffer()
      assert.equal(answer.status, 200)
    }
    await ask('r-0')
    await eventually(() => hanging.length === 1)
    // All are answered, and the first batch is not.
    await Promise.all(Array.from({ length: 100 }, (_, i) => ask(`r-${i + 1}`)))
    assert.deepEqual([hanging.length, got.trimEnd().split('\n').length], [1, 1])
    open = true
    hanging[0]?.end()
    await eventually(() => new Set([...got.matchAll(/"request_id":"(r-\d+)"/g)].map(([, id]) => id)).size === 101)
  })
}
