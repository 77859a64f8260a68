import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Http2Server, type ServerHttp2Session } from 'node:http2'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Ledger } from '../../controller/push/ledger.ts'
import { Publisher } from '../../controller/push/publish.ts'
import { converse } from '../../dataplane/receive/conversation.ts'
import { openDisk } from '../../dataplane/receive/disk.ts'
import { createStore } from '../../dataplane/store.ts'
import { linkPair } from '../../table/link.ts'
import type { FromController, FromProxy } from '../../table/messages.ts'
import type { Order } from '../../table/order.ts'
import { controller, proxy, relay, until } from './rig.ts'
import { fleets, route } from './table.ts'

/** A controller that says how new its tables are. */
async function replica(epoch: number, sequence: number) {
  const state = { epoch, sequence, behind: [] as { order: Order; ms: number }[] }
  const one = await controller({}, {
    order: () => ({ epoch: state.epoch, sequence: state.sequence }),
    behind: (order, ms) => state.behind.push({ order, ms }),
  })
  return { ...one, state }
}

const weightOf = (p: ReturnType<typeof proxy>) => p.store.active?.routes.get('ml/a')?.rules[0]?.variants[0]?.weight

for (const [what, theirs] of [
  ['of a leader that was followed while it slept', { epoch: 4, sequence: 900 }],
  ['of a replica whose watch is behind', { epoch: 5, sequence: 99 }],
] as const) {
  test(`a table ${what} is not put in force, and comes once that controller has caught up`, async (t) => {
    const [current, old] = [await replica(5, 100), await replica(theirs.epoch, theirs.sequence)]
    const wire = await relay(current.url)
    const p = proxy([wire.url], {})
    t.after(() => Promise.all([p.close(), wire.close(), current.close(), old.close()]))
    current.publisher.publish(fleets([route('ml/a', 2)]))
    old.publisher.publish(fleets([route('ml/a', 1)]))
    await until('the new table', () => weightOf(p) === 2)
    assert.deepEqual(p.store.order, { epoch: 5, sequence: 100 })
    // The same proxy, with the other controller as the only one there is.
    await p.close()
    const { store } = p
    const [controllerEnd, proxyEnd] = linkPair()
    const conversation = converse(proxyEnd, { store, minor: 1, subscribe: true, identity: { node: 'proxy', instance: 'again', gateway: 'default' } })
    old.publisher.accept(controllerEnd, true)
    await until('it is held back', () => /a proxy has a newer table/.test(old.notes.text()))
    assert.equal(conversation.heard, false)
    old.publisher.publish(fleets([route('ml/a', 3)]))
    await until('the next look', () => old.state.behind.length >= 2)
    assert.equal(weightOf(p), 2, 'nothing of it was put in force')
    assert.deepEqual(old.state.behind[0]?.order, { epoch: 5, sequence: 100 })
    assert.ok((old.state.behind[1]?.ms ?? 0) >= 900, 'it is told for how long')
    old.state.epoch = 5
    old.state.sequence = 101
    await until('its table', () => weightOf(p) === 3)
    assert.deepEqual(store.order, { epoch: 5, sequence: 101 })
  })
}

test('a proxy refuses an older table by itself, and says again what it has', async () => {
  const [controllerEnd, proxyEnd] = linkPair()
  const store = createStore({ activate: () => [] })
  const heard: FromProxy[] = []
  controllerEnd.onMessage((message) => void heard.push(message))
  let stale = 0
  converse(proxyEnd, { store, minor: 1, subscribe: true, identity: { node: 'n', instance: 'i', gateway: 'default' }, onStale: () => (stale += 1) })
  const ledger = new Ledger('endpoints')
  const say = (epoch: number, sequence: number, weight: number) => {
    ledger.publish(new Map([[`ml/${weight}`, { id: `ml/${weight}`, hosts: [] }]]))
    controllerEnd.send(JSON.stringify({ type: 'order', order: { epoch, sequence } }))
    controllerEnd.sendWhole(ledger.snapshot(), () => {})
  }
  const hellos = () => heard.flatMap((message) => (message.type === 'hello' ? [message.order] : []))
  say(2, 7, 1)
  await until('taken', () => heard.some(({ type }) => type === 'ack' || type === 'resync'))
  const { version } = ledger
  say(1, 900, 2)
  await until('refused', () => stale === 1)
  assert.equal(store.versions.endpoints, version)
  await until('said again', () => hellos().length === 2)
  assert.deepEqual(hellos(), [null, { epoch: 2, sequence: 7 }])
  // What it has already is not older, whoever says it.
  ledger.publish(new Map([['ml/1', { id: 'ml/1', hosts: [] }]]))
  const before = heard.length
  controllerEnd.sendWhole(ledger.snapshot(), () => {})
  await until('answered', () => heard.length > before)
  assert.equal(stale, 1)
  assert.deepEqual(store.order, { epoch: 2, sequence: 7 })
})

test('what a proxy never keeps comes from any controller that has the same table', async () => {
  const publisher = new Publisher({ order: () => ({ epoch: 5, sequence: 90 }) })
  publisher.publish(fleets([route('ml/a')]))
  const [controllerEnd, proxyEnd] = linkPair()
  const arrived: FromController[] = []
  proxyEnd.onMessage((message) => void arrived.push(message))
  publisher.accept(controllerEnd, true)
  const same = new Ledger('routes')
  const [routes, endpoints] = ['routes', 'endpoints'].map((resource) => {
    same.publish(fleets([route('ml/a')]).get('default')?.[resource as 'routes'] ?? new Map())
    return same.version
  })
  const hello = (versions: object) => proxyEnd.send(JSON.stringify({
    type: 'hello', schema: 1, node: 'n', instance: 'i', gateway: 'default', subscribe: true, versions, order: { epoch: 5, sequence: 100 },
  }))
  hello({ routes: null, endpoints, secrets: null })
  hello({ routes, endpoints, secrets: null })
  await until('an answer', () => arrived.length >= 4)
  const told = arrived.map((message) => ('resource' in message ? `${message.type} ${message.resource}` : message.type))
  assert.deepEqual(told, ['order', 'delta endpoints', 'snapshot secrets', 'delta routes'], 'nothing while it would go back, and then what it lacks')
  publisher.close()
})

test('a proxy turns from a controller that is behind to one that is not', async (t) => {
  const [current, old] = [await replica(5, 100), await replica(5, 50)]
  current.publisher.publish(fleets([route('ml/a', 2)]))
  old.publisher.publish(fleets([route('ml/a', 1)]))
  const [wire, other] = [await relay(current.url), await relay(old.url)]
  const p = proxy([wire.url, other.url], { timing: { silent: 30, backoffMin: 20, backoffMax: 20, settle: 60_000 } })
  t.after(() => Promise.all([p.close(), wire.close(), other.close(), current.close(), old.close()]))
  await until('the new table', () => weightOf(p) === 2)
  wire.cut()
  await until('it is back with the other', () => p.receiver.controllers().some(({ url, feeding }) => url === wire.url && feeding))
  current.publisher.publish(fleets([route('ml/a', 3)]))
  await until('the next edit', () => weightOf(p) === 3)
  assert.ok(p.activations.slice(1).every(({ routes }) => (routes.get('ml/a')?.rules[0]?.variants[0]?.weight ?? 0) >= 2), 'it never went back')
})

test('controllers that are all behind hear for how long, whichever of them the proxy turned to meanwhile', async (t) => {
  const current = await replica(5, 100)
  const old = [await replica(5, 50), await replica(5, 50)]
  current.publisher.publish(fleets([route('ml/a', 2)]))
  for (const { publisher } of old) publisher.publish(fleets([route('ml/a', 1)]))
  const p = proxy([current.url, ...old.map(({ url }) => url)], { timing: { silent: 1_200 } })
  t.after(() => Promise.all([p.close(), ...old.map((one) => one.close())]))
  await until('the new table', () => weightOf(p) === 2)
  await current.close()
  await until('each to hear of it for longer than it was turned to', () => old.every(({ state }) => state.behind.some(({ ms }) => ms > 2_400)), 60_000)
  assert.equal(weightOf(p), 2)
})

test('a restarted proxy does not go back behind the table on its disk', async (t) => {
  const file = join(mkdtempSync(join(tmpdir(), 'order-')), 'table')
  const current = await replica(5, 100)
  t.after(() => current.close())
  current.publisher.publish(fleets([route('ml/a', 2)]))
  const disk = await openDisk({ file, gateway: 'default' })
  const p = proxy([current.url], { disk })
  await until('the table', () => p.store.ready)
  await p.close()
  await disk.close()
  const again = await openDisk({ file, gateway: 'default' })
  assert.deepEqual(createStore({ activate: () => [], disk: again }).order, { epoch: 5, sequence: 100 })
  await again.close()
  // What release 0.1.0 wrote there, and what somebody else may have, says nothing of it.
  const [head = '', ...lines] = readFileSync(file, 'utf8').split('\n')
  for (const order of [undefined, 'later', { epoch: -1, sequence: 0 }]) {
    const body = `${[JSON.stringify({ ...JSON.parse(head) as object, order }), ...lines.slice(0, -2)].join('\n')}\n`
    writeFileSync(file, `${body}${JSON.stringify({ sha256: createHash('sha256').update(body).digest('hex') })}\n`)
    const older = await openDisk({ file, gateway: 'default' })
    const store = createStore({ activate: () => [], disk: older })
    assert.equal(store.order, undefined)
    assert.equal(store.ready, true)
    await older.close()
  }
})

test('a controller of release 0.1.0 is told nothing that it would refuse, and its tables are taken', async (t) => {
  // As that release answers: without the header that this one adds.
  const publisher = new Publisher()
  publisher.publish(fleets([route('ml/a', 7)]))
  const hellos: Record<string, unknown>[] = []
  const server: Http2Server = createServer()
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', (session) => sessions.add(session))
  const { streamLink } = await import('../../table/link.ts')
  const { FromProxy: schema } = await import('../../table/messages.ts')
  server.on('stream', (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/x-ndjson' })
    stream.on('data', (chunk: Buffer) => {
      for (const line of String(chunk).split('\n')) if (line.includes('"hello"')) hellos.push(JSON.parse(line) as Record<string, unknown>)
    })
    publisher.accept(streamLink<FromController, FromProxy>(stream, { schema, maxLineBytes: 1e6 }), false)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const p = proxy([`http://127.0.0.1:${(server.address() as AddressInfo).port}`], { show: () => Promise.reject(new Error('nobody looks')) })
  t.after(async () => {
    await p.close()
    for (const session of sessions) session.destroy()
    server.close()
  })
  await until('its table', () => weightOf(p) === 7)
  assert.deepEqual(Object.keys(hellos[0] ?? {}).sort(), ['gateway', 'instance', 'node', 'schema', 'subscribe', 'type', 'versions'])
  assert.equal(p.store.order, undefined)
})

test('a proxy of release 0.1.0 gets no message that it would not read', async () => {
  const publisher = new Publisher({ order: () => ({ epoch: 1, sequence: 1 }) })
  publisher.publish(fleets([route('ml/a')]))
  const [controllerEnd, proxyEnd] = linkPair()
  const arrived: FromController[] = []
  proxyEnd.onMessage((message) => void arrived.push(message))
  proxyEnd.send(JSON.stringify({ type: 'hello', schema: 1, node: 'n', instance: 'i', gateway: 'default', subscribe: true, versions: { routes: null, endpoints: null } }))
  publisher.accept(controllerEnd, true)
  await until('the table', () => arrived.length === 2)
  assert.deepEqual(arrived.map(({ type }) => type), ['snapshot', 'snapshot'])
})

test('proxies spread over the controllers, over those that are left when one dies, and back when it returns', async (t) => {
  const replicas = [await controller(), await controller(), await controller()]
  for (const { publisher } of replicas) publisher.publish(fleets([route('ml/a')]))
  const urls = replicas.map(({ url }) => url)
  const rank = (node: string, url: string) => createHash('sha256').update(`default ${node} ${url} 127.0.0.1`).digest('hex')
  const choice = (node: string, among: readonly string[]) => among.toSorted((a, b) => (rank(node, a) > rank(node, b) ? -1 : 1))[0]
  // As hashes fall: of enough names a third is for each.
  const many = Array.from({ length: 300 }, (_, i) => `proxy-${i}`)
  for (const url of urls) assert.ok(Math.abs(many.filter((node) => choice(node, urls) === url).length - 100) < 50)
  const nodes = many.slice(0, 12)
  const proxies = nodes.map((node) => ({ node, ...proxy(urls, { node, timing: { settle: 100, backoffMin: 20, backoffMax: 100 } }) }))
  t.after(() => Promise.all([...proxies.map((p) => p.close()), ...replicas.map((one) => one.close())]))
  const fedBy = (p: (typeof proxies)[number]) => p.receiver.controllers().find(({ feeding }) => feeding)?.url
  const spread = (among: readonly string[]) => proxies.every((p) => fedBy(p) === choice(p.node, among))
  await until('each to be fed by its own', () => spread(urls), 60_000)
  const [first = '', ...others] = urls
  await replicas[0]?.close()
  await until('the others to feed all, spread as well', () => spread(others), 60_000)
  const back = await controller({ port: Number(new URL(first).port) })
  t.after(() => back.close())
  back.publisher.publish(fleets([route('ml/a')]))
  await until('its own to be back', () => spread(urls), 60_000)
  assert.ok(proxies.every(({ activations }) => activations.length === 1), 'nobody put a table in force for that')
})
