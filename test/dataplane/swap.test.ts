import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Route } from '../../table/route.ts'
import { inTime, watchMachine } from '../machine.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream, rawClient } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

const split = (stable: number, canary: number): Route => route({ rules: [rule({ variants: [
  variant('stable', 'ml/s:80', { weight: stable * 10_000 }), variant('canary', 'ml/c:80', { weight: canary * 10_000 }),
] })] })

test('a 90/10 split over 500 requests gives 450 ± 1, whatever edits of other routes happen meanwhile', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.end('ok') })
  const sets = { 'ml/s:80': [port], 'ml/c:80': [port] }
  const proxy = await testProxy(t, active('0', [split(90, 10)], sets))
  let stable = 0
  for (let i = 0; i < 500; i++) {
    if (i % 50 === 0) proxy.activate(active(String(i), [split(90, 10), route({ id: 'ml/other', generation: i, hostnames: ['o.test'] })], sets))
    const response = await fetch(proxy.url)
    await response.text()
    if (response.headers.get('x-modelroute-variant') === 'stable') stable++
  }
  assert.ok(Math.abs(stable - 450) <= 1, String(stable))
})

test('table swaps under load: no request fails, and each is served by exactly one table', { timeout: 120_000 }, async (t) => {
  // In every table both rules lead to one backend of its own, so a request that met two tables would show.
  const ports = await Promise.all(['a', 'b'].map((name) => httpUpstream(t, (_request, response) => { response.end(name) })))
  const sets = { 'ml/a:80': [ports[0] ?? 0], 'ml/b:80': [ports[1] ?? 0] }
  const table = (n: number) => {
    const name = n % 2 ? 'b' : 'a'
    return active(`t${n}`, [route({ generation: n, rules: [
      rule({ name: `rule-${name}`, matches: [match('/x'), match('/y', { method: 'POST' })], variants: [variant(`variant-${name}`, `ml/${name}:80`)] }),
    ] })], sets)
  }
  const proxy = await testProxy(t, table(0))
  let swaps = 0
  const swapping = setInterval(() => proxy.activate(table(++swaps)), 2)
  t.after(() => clearInterval(swapping))
  const outcomes = new Map<string, number>()
  await Promise.all(Array.from({ length: 16 }, async (_, client) => {
    for (let i = 0; i < 40; i++) {
      const response = await fetch(`${proxy.url}/${i % 2 ? 'y' : 'x'}`, { method: 'POST', body: client % 2 ? 'x'.repeat(100_000) : 'x' })
      const outcome = `${response.status} ${response.headers.get('x-modelroute-variant')} ${await response.text()}`
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }
  }))
  clearInterval(swapping)
  assert.ok(swaps > 20, `${swaps} swaps`)
  assert.deepEqual([...outcomes.keys()].sort(), ['200 variant-a a', '200 variant-b b'])
  await eventually(() => proxy.lines().length === 640)
  for (const { table: version, rule: name, variant: served } of proxy.lines()) {
    const expected = Number(String(version).slice(1)) % 2 ? 'b' : 'a'
    assert.deepEqual([name, served], [`rule-${expected}`, `variant-${expected}`])
  }
})

test('an endpoint that is removed gets no new request and finishes what it has; one that is added is used', { timeout: 120_000 }, async (t) => {
  const seen: Record<string, number> = { old: 0, new: 0 }
  let finish: (() => void) | undefined
  const upstream = (name: string) => httpUpstream(t, (request, response) => {
    seen[name] = (seen[name] ?? 0) + 1
    if (request.url === '/slow') {
      response.write('begun ')
      finish = () => response.end('done')
    } else response.end(name)
  })
  const [old, fresh] = [await upstream('old'), await upstream('new')]
  const item = route()
  const proxy = await testProxy(t, active('1', [item], { 'ml/s:80': [old] }))
  const slow = fetch(`${proxy.url}/slow`)
  await eventually(() => finish !== undefined)
  proxy.activate(active('1', [item], { 'ml/s:80': [fresh] }))
  for (let i = 0; i < 10; i++) assert.equal(await (await fetch(proxy.url)).text(), 'new')
  assert.deepEqual(seen, { old: 1, new: 10 })
  finish?.()
  assert.equal(await (await slow).text(), 'begun done')
})

test('a removed endpoint is let go of: its idle connections close', { timeout: 120_000 }, async (t) => {
  let closed = false
  const port = await httpUpstream(t, (request, response) => {
    request.socket.once('close', () => { closed = true })
    response.end('ok')
  })
  const item = route()
  const proxy = await testProxy(t, active('1', [item], { 'ml/s:80': [port] }))
  await (await fetch(proxy.url)).text()
  proxy.activate(active('1', [item], { 'ml/s:80': [] }))
  await eventually(() => closed)
  const response = await fetch(proxy.url)
  assert.deepEqual([response.status, response.headers.get('x-modelroute-error')], [503, 'no_endpoints'])
})

test('a request whose route is removed while its body comes in is still served, by the table it began with', { timeout: 120_000 }, async (t) => {
  let open = 0
  const port = await httpUpstream(t, (request, response) => {
    open++
    request.socket.once('close', () => { open-- })
    request.pipe(response)
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const client = await rawClient(t, proxy.url)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello')
  // Another request, behind it on a connection of its own, tells that the first has been matched.
  await (await fetch(proxy.url)).text()
  proxy.activate(active('2', [], {}))
  assert.equal((await fetch(proxy.url)).status, 404)
  client.send('hello')
  await client.until((text) => text.startsWith('HTTP/1.1 200') && text.endsWith('0\r\n\r\n'))
  await eventually(() => proxy.lines().some((line) => line['status'] === 200 && line['bytes_in'] === 10))
  const machine = watchMachine()
  const from = performance.now()
  await eventually(() => open === 0)
  // Not only because it was idle for 4 s.
  inTime(t, 'to be closed', performance.now() - from, 2000, machine())
})

test('a route that cannot be built is refused by name; its last good version and every other route go on', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.end('ok') })
  const sets = { 'ml/s:80': [port] }
  const good = route({ rules: [rule({ matches: [match('/old')] })] })
  const other = route({ id: 'ml/other', rules: [rule({ matches: [match('/other')] })] })
  const proxy = await testProxy(t, active('1', [good, other], sets))
  const broken = route({ generation: 2, rules: [rule({ matches: [match('/new'), match('(', { type: 'Regex' })] })] })
  const status = async (path: string) => (await fetch(proxy.url + path)).status
  for (let again = 0; again < 2; again++) {
    const refusals = proxy.activate(active('2', [broken, other], sets))
    assert.deepEqual(refusals.map(({ id }) => id), ['ml/fraud'])
    assert.match(refusals[0]?.message ?? '', /^rule infer, match 1: .*RE2/)
    assert.deepEqual([await status('/old'), await status('/new'), await status('/other')], [200, 404, 200])
  }
  assert.deepEqual(proxy.activate(active('3', [route({ rules: [rule({ matches: [match('/new')] })] }), other], sets)), [])
  assert.deepEqual([await status('/old'), await status('/new')], [404, 200])
})

for (const [what, more] of [
  ['a URL with a path', variant('v', 'x', { target: { kind: 'url', url: 'http://a.test/x', loopback: false } })],
  ['a URL with credentials', variant('v', 'x', { target: { kind: 'url', url: 'http://u:p@a.test', loopback: false } })],
  ['a URL of another scheme', variant('v', 'x', { target: { kind: 'url', url: 'file:///etc/passwd', loopback: false } })],
  ['a name that cannot stand in a header', variant('v\r\nx: y', 'ml/s:80')],
  ['a model named ..', variant('v', 'ml/s:80', { model: { name: '..' } })],
] as const) {
  test(`${what} is refused, not served in some other way`, async (t) => {
    const proxy = await testProxy(t)
    const refusals = proxy.activate(active('1', [route({ rules: [rule({ variants: [more] })] })], {}))
    assert.equal(refusals.length, 1)
    assert.match(refusals[0]?.message ?? '', /^rule infer: variant [^ ]+: /)
  })
}

test('overrides come before the weights', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.end('ok') })
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({
    variants: [variant('stable', 'ml/s:80'), variant('canary', 'ml/s:80', { weight: 0 })],
    overrides: [{ header: 'x-canary', value: 'always', variant: 'canary' }],
  })] })], { 'ml/s:80': [port] }))
  const served = async (value: string) => (await fetch(proxy.url, { headers: { 'x-canary': value } })).headers.get('x-modelroute-variant')
  assert.deepEqual([await served('always'), await served('Always'), await served('')], ['canary', 'stable', 'stable'])
})

test('a broken reference answers 500 for its share only', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.end('ok') })
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ variants: [
    variant('stable', 'ml/s:80', { weight: 750_000 }),
    variant('gone', 'x', { weight: 250_000, target: { kind: 'unresolved', why: 'Service ml/gone not found' } }),
  ] })] })], { 'ml/s:80': [port] }))
  const codes: string[] = []
  for (let i = 0; i < 40; i++) {
    const response = await fetch(proxy.url)
    codes.push(`${response.status} ${response.headers.get('x-modelroute-error')}`)
    assert.ok(!(await response.text()).includes('ml/gone'), 'the caller is not told of the cluster')
  }
  assert.equal(codes.filter((code) => code === '500 backend_unresolved').length, 10)
  assert.equal(codes.filter((code) => code === '200 null').length, 30)
})

test('endpoints that are no addresses lead nowhere, and take nothing else down', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.end('ok') })
  const proxy = await testProxy(t)
  const addresses = ['', 'a b', `127.0.0.1:${port}/x`, 'x@127.0.0.1', '[::1]', '-a', 'a..b', '127.0.0.1#', '127.0.0.1']
  const refused = proxy.activate({
    ...active('1', [route()], {}),
    endpoints: new Map([['ml/s:80', { id: 'ml/s:80', endpoints: addresses.map((address) => ({ address, port })) }]]),
  })
  assert.deepEqual(refused, [])
  for (let i = 0; i < addresses.length * 2; i++) assert.equal((await fetch(proxy.url)).status, 200)
})
