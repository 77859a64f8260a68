import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import test from 'node:test'
import { Ledger } from '../../controller/push/ledger.ts'
import { Publisher } from '../../controller/push/publish.ts'
import { createStore } from '../../dataplane/store.ts'
import { converse } from '../../dataplane/receive/conversation.ts'
import { linkPair } from '../../table/link.ts'
import type { FromController } from '../../table/messages.ts'
import { controller, proxy, relay, until } from './rig.ts'
import { RESOURCES } from '../../table/resources.ts'
import { fleets, route } from './table.ts'

const hello = {
  type: 'hello',
  schema: 1,
  node: 'n',
  instance: 'i',
  gateway: 'default',
  subscribe: true,
  versions: { routes: null, endpoints: null },
}

const feeding = (p: ReturnType<typeof proxy>) => p.receiver.controllers().find((each) => each.feeding)?.url

test('one of two controllers feeds a proxy, and both hear what it acknowledges', async (t) => {
  const [a, b] = [await controller(), await controller()]
  const p = proxy([a.url, b.url])
  t.after(() => Promise.all([p.close(), a.close(), b.close()]))
  for (const each of [a, b]) each.publisher.publish(fleets([route('ml/a')]))
  for (const each of [a, b]) await until('acknowledged', () => each.publisher.proxies()[0]?.acked.size === 1)
  const views = [a, b].flatMap(({ publisher }) => publisher.proxies())
  assert.deepEqual(views.map(({ subscribed }) => String(subscribed)).sort(), ['false', 'true'])
  assert.equal(p.updates.length, RESOURCES.length, 'the table came once')

  for (const each of [a, b]) each.publisher.publish(fleets([route('ml/a', 5)]))
  for (const { publisher } of [a, b]) {
    const wanted = publisher.hashes('default').get('ml/a')
    await until('acknowledged', () => publisher.proxies()[0]?.acked.get('ml/a') === wanted)
  }
  assert.equal(p.updates.length, RESOURCES.length + 1)
})

test('when the controller that feeds it dies, a proxy turns to the other at once and keeps its table', async (t) => {
  const [a, b] = [await controller(), await controller()]
  const [wireA, wireB] = [await relay(a.url), await relay(b.url)]
  const p = proxy([wireA.url, wireB.url], { timing: { backoffMin: 60_000, backoffMax: 60_000 } })
  t.after(() => Promise.all([p.close(), wireA.close(), wireB.close(), a.close(), b.close()]))
  for (const each of [a, b]) each.publisher.publish(fleets([route('ml/a')]))
  for (const each of [a, b]) await until('acknowledged', () => each.publisher.proxies()[0]?.acked.size === 1)
  const [dead, alive] = feeding(p) === wireA.url ? [wireA, b] : [wireB, a]
  dead.cut()
  await until('switched', () => alive.publisher.proxies()[0]?.subscribed === true)
  assert.equal(p.activations.length, 1)
  alive.publisher.publish(fleets([route('ml/a', 1)]))
  await until('fed', () => p.store.active?.routes.get('ml/a')?.rules[0]?.variants[0]?.weight === 1)
})

test('a controller that stops answering without closing is left for the other, and forgets the proxy', async (t) => {
  const [a, b] = [await controller({ pingMs: 30 }), await controller({ pingMs: 30 })]
  const [wireA, wireB] = [await relay(a.url), await relay(b.url)]
  const p = proxy([wireA.url, wireB.url], { timing: { ping: 30 } })
  t.after(() => Promise.all([p.close(), wireA.close(), wireB.close(), a.close(), b.close()]))
  for (const each of [a, b]) each.publisher.publish(fleets([route('ml/a')]))
  for (const each of [a, b]) await until('acknowledged', () => each.publisher.proxies()[0]?.acked.size === 1)
  const [dead, left, alive] = feeding(p) === wireA.url ? [wireA, a, b] : [wireB, b, a]
  dead.hold()
  await until('switched', () => alive.publisher.proxies()[0]?.subscribed === true)
  await until('the half-open connection is found out', () => left.publisher.proxies().length === 0)
})

test('a controller that has yet to read its sources does not keep a proxy from one that has', async (t) => {
  const [starting, ready] = [await controller(), await controller()]
  const p = proxy([starting.url], { timing: { silent: 30 } })
  await until('subscribed', () => starting.publisher.proxies()[0]?.subscribed === true)
  await p.close()
  ready.publisher.publish(fleets([route('ml/a')]))
  const q = proxy([starting.url, ready.url], { timing: { silent: 30 } })
  t.after(() => Promise.all([q.close(), starting.close(), ready.close()]))
  await until('fed', () => q.store.ready)
  await until('fed by the ready one', () => feeding(q) === ready.url)
})

test('replicas behind one name are found as they come, and the proxy is fed by one that is left', async (t) => {
  const first = await controller()
  const second = await controller({ host: '127.0.0.2', port: Number(new URL(first.url).port) })
  let addresses: readonly string[] = []
  let failures = 0
  const resolve = async (url: URL) => {
    if (addresses.length === 0) failures += 1
    if (addresses.length === 0) throw new Error('ENOTFOUND')
    return addresses.map((address) => ({ url, address }))
  }
  const p = proxy([first.url.replace('127.0.0.1', 'localhost')], { resolve, timing: { resolve: 10 } })
  t.after(() => Promise.all([p.close(), first.close(), second.close()]))
  await until('said', () => /no address .*ENOTFOUND/.test(p.notes.text()))
  for (const each of [first, second]) each.publisher.publish(fleets([route('ml/a')]))
  addresses = ['127.0.0.1']
  await until('the first', () => first.publisher.proxies()[0]?.subscribed === true)
  addresses = ['127.0.0.1', '127.0.0.2']
  await until('the second', () => second.publisher.proxies()[0]?.subscribed === false)
  addresses = ['127.0.0.2']
  await first.close()
  await until('fed by what is left', () => second.publisher.proxies()[0]?.subscribed === true)
  await until('the other is forgotten', () => p.receiver.controllers().length === 1)
  addresses = []
  const before = failures
  await until('two look-ups failed', () => failures >= before + 2)
  await second.close()
  const again = await controller({ host: '127.0.0.2', port: Number(new URL(second.url).port) })
  t.after(() => again.close())
  await until('a failed look-up says nothing about where they were', () => again.publisher.proxies().length === 1)
})

test('a replica that is behind understands an acknowledgement once it gets there', async (t) => {
  const publisher = new Publisher()
  t.after(() => publisher.close())
  const [controllerEnd, proxyEnd] = linkPair()
  publisher.accept(controllerEnd, true)
  const ahead = new Ledger('routes')
  const say = (message: object) => proxyEnd.send(JSON.stringify(message))
  const ack = (refused: readonly object[] = []) =>
    say({ type: 'ack', resource: 'routes', version: ahead.version, refused })
  publisher.publish(fleets([]))
  const [good, bad] = [fleets([route('ml/a', 1), route('ml/b', 1)]), fleets([route('ml/a', 2), route('ml/b', 2)])]
  say({ ...hello, subscribe: false })
  ahead.publish(good.get('default')?.routes ?? new Map())
  const hashOfGood = ahead.hashes.get('ml/a')
  ack()
  await until('heard', () => publisher.proxies()[0]?.version === ahead.version)
  assert.equal(publisher.proxies()[0]?.acked.size, 0, 'not known yet')
  publisher.publish(good)
  publisher.publish(bad)
  ahead.publish(bad.get('default')?.routes ?? new Map())
  ack([{ id: 'ml/a', message: 'no' }])
  // Nobody looks in between: the acknowledgement alone must settle what the last one meant.
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(publisher.proxies()[0]?.version, ahead.version)
  assert.deepEqual(publisher.proxies()[0]?.acked, new Map([...ahead.hashes, ['ml/a', hashOfGood]]))
})

test('a controller that does not feed a proxy cannot change its table', async () => {
  const [controllerEnd, proxyEnd] = linkPair()
  const store = createStore({ activate: () => [] })
  const identity = { node: 'n', instance: 'i', gateway: 'default' }
  const conversation = converse(proxyEnd, { store, identity, subscribe: false })
  const answers: unknown[] = []
  controllerEnd.onMessage((message) => void answers.push(message))
  const table = new Ledger('endpoints')
  controllerEnd.sendWhole(table.snapshot(), () => {})
  conversation.tell({ type: 'ack', resource: 'routes', version: 'after', refused: [] })
  await until('what was said after', () => answers.length >= 2)
  assert.equal(answers.length, 2, 'the hello and that, but no answer to the table')
  assert.equal(store.versions.endpoints, null)
  conversation.subscribe(true)
  controllerEnd.sendWhole(table.snapshot(), () => {})
  await until('taken', () => store.versions.endpoints === table.version)
})

test('a stream without a hello is closed with a reason', async () => {
  const publisher = new Publisher({ helloMs: 20 })
  const [controllerEnd, proxyEnd] = linkPair()
  const arrived: FromController[] = []
  proxyEnd.onMessage((message) => void arrived.push(message))
  const closed = new Promise((resolve) => proxyEnd.onClose(resolve))
  publisher.accept(controllerEnd, true)
  await closed
  assert.deepEqual(arrived, [{ type: 'goodbye', why: 'no hello within 20 ms' }])
})

test('two connections of one proxy are one; two proxies of one name are two', async (t) => {
  const a = await controller()
  const wire = await relay(a.url)
  const one = proxy([a.url, wire.url])
  const two = proxy([a.url])
  t.after(() => Promise.all([one.close(), two.close(), wire.close(), a.close()]))
  a.publisher.publish(fleets([route('ml/a')]))
  const connected = () => [one, two].flatMap((each) => each.receiver.controllers()).filter(({ open }) => open).length
  await until('all connected', () => connected() === 3)
  await until('all acknowledged', () => a.publisher.proxies().every(({ acked }) => acked.size === 1))
  const views = a.publisher.proxies().map(({ node, subscribed }) => [node, subscribed])
  assert.deepEqual(views, [['proxy', true], ['proxy', true]])
})

test('a reader that stops costs one message a resource, and then gets the latest', async (t) => {
  const a = await controller({ pingMs: 60_000 })
  const wire = await relay(a.url)
  const p = proxy([wire.url], { timing: { ping: 60_000 } })
  t.after(() => Promise.all([p.close(), wire.close(), a.close()]))
  const table = (weight: number) => fleets(Array.from({ length: 300 }, (_, i) => route(`ml/r${i}`, weight)))
  a.publisher.publish(table(0))
  await until('in force', () => p.store.ready)
  // This one takes what it is sent but does not answer: for the controller, the same as one that reads too slowly.
  const stuck = createStore({ activate: () => [] })
  const [controllerEnd, proxyEnd] = linkPair()
  const arrived: FromController[] = []
  proxyEnd.onMessage((message) => void arrived.push(message))
  proxyEnd.send(JSON.stringify({ ...hello, node: 'slow', instance: 's' }))
  a.publisher.accept(controllerEnd, true)
  await until('the first table', () => arrived.length === 2)
  for (let i = 1; i <= 100; i++) a.publisher.publish(table(i))
  const weight = () => p.store.active?.routes.get('ml/r0')?.rules[0]?.variants[0]?.weight
  await until('the other proxy is at the latest', () => weight() === 100)
  assert.equal(arrived.length, 2, 'nothing is sent on top of what is not acknowledged')
  for (const message of arrived.slice(0, 2)) {
    if (message.type !== 'snapshot' && message.type !== 'delta') continue
    proxyEnd.send(JSON.stringify(stuck.handle(message)))
  }
  await until('the latest, as one delta', () => arrived.length === 3)
  const last = arrived[2]
  assert.ok(last?.type === 'delta' && last.upsert.length === 300)
  stuck.handle(last)
  const untold = { credentials: null, secrets: null }
  assert.deepEqual(stuck.versions, { ...p.store.versions, ...untold }, 'nothing comes that its hello did not name')
})

test('a proxy refuses what it cannot read as a whole, once, and says why for each route', async (t) => {
  const a = await controller()
  t.after(() => a.close())
  a.publisher.publish(fleets([route('ml/a')]))
  const [controllerEnd, proxyEnd] = linkPair()
  const arrived: FromController[] = []
  proxyEnd.onMessage((message) => {
    arrived.push(message)
    if (message.type === 'snapshot' || message.type === 'delta') {
      proxyEnd.send(JSON.stringify({ type: 'resync', resource: message.resource, why: 'schema 2 is not known here' }))
    }
  })
  proxyEnd.send(JSON.stringify(hello))
  a.publisher.accept(controllerEnd, true)
  await until('refused', () => a.publisher.proxies()[0]?.refused.size === 1)
  assert.deepEqual(a.publisher.proxies()[0]?.refused, new Map([['ml/a', 'schema 2 is not known here']]))
  await until('settled', () => arrived.length === 2)
  a.publisher.publish(fleets([route('ml/a'), route('ml/b')]))
  await until('new content is tried', () => arrived.length === 4)
  assert.equal(a.publisher.proxies()[0]?.refused.size, 2)
})

for (const [what, lines, why] of [
  ['a schema it does not speak', [{ ...hello, schema: 7 }], /schema 7 is not spoken here/],
  ['an acknowledgement before hello', [{ type: 'ack', resource: 'routes', version: 'x', refused: [] }], /hello first/],
  ['another name on the same stream', [hello, { ...hello, node: 'other' }], /only change the subscription/],
  ['a hello of another shape', [{ ...hello, colour: 'red' }], /not a message of this protocol: colour/],
  ['no JSON at all', ['GET / HTTP/1.1'], /not a line of JSON: .*GET/],
  ['an unknown message', [{ type: 'shout' }], /not a message of this protocol/],
] as const) {
  test(`the controller says goodbye with a reason to ${what}`, async (t) => {
    const a = await controller()
    a.publisher.publish(fleets([route('ml/a')]))
    const session = connectHttp2(a.url)
    t.after(() => {
      session.destroy()
      return a.close()
    })
    const stream = session.request({ ':method': 'POST', ':path': '/v1/stream' })
    let text = ''
    stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    for (const line of lines) stream.write(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`)
    await once(stream, 'end')
    const last: unknown = JSON.parse(text.trimEnd().split('\n').at(-1) ?? '')
    assert.ok(typeof last === 'object' && last !== null && 'type' in last && 'why' in last)
    assert.equal(last.type, 'goodbye')
    assert.match(String(last.why), why)
    await until('forgotten', () => a.publisher.proxies().length === 0)
  })
}

test('a proxy logs why the controller sent it away, and tries again ever more slowly', async (t) => {
  const a = await controller()
  const [goodbyes, times]: [string[], number[]] = [[], []]
  t.after(() => a.close())
  a.publisher.accept = (link) => {
    times.push(performance.now())
    link.onMessage(() => {
      goodbyes.push('no')
      link.send(JSON.stringify({ type: 'goodbye', why: 'this gateway is not served here' }))
      link.close()
    })
  }
  const q = proxy([a.url], { timing: { backoffMin: 20, backoffMax: 400 } })
  t.after(() => q.close())
  await until('sent away five times', () => goodbyes.length >= 5)
  assert.match(q.notes.text(), /this gateway is not served here/)
  const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0))
  assert.ok((gaps[3] ?? 0) > 100, `the gaps grow: ${gaps.map(Math.round).join(', ')} ms`)
})

test('a connection that says nothing, or opens no stream, is closed', async (t) => {
  const a = await controller({ openMs: 50 })
  t.after(() => a.close())
  const session = connectHttp2(a.url)
  session.on('error', () => {})
  await once(session, 'close')
})

test('only the stream answers on the push port', async (t) => {
  const a = await controller()
  const session = connectHttp2(a.url)
  t.after(() => {
    session.destroy()
    return a.close()
  })
  const cases = [['GET', '/v1/stream', 405], ['POST', '/', 404], ['GET', '/v1/table', 404]] as const
  for (const [method, path, status] of cases) {
    const stream = session.request({ ':method': method, ':path': path })
    const [headers] = await once(stream, 'response')
    assert.equal(headers[':status'], status)
    stream.close()
  }
})

test('in one process, the two halves still speak text', async () => {
  const publisher = new Publisher()
  const [controllerEnd, proxyEnd] = linkPair()
  const store = createStore({ activate: () => [] })
  converse(proxyEnd, { store, identity: { node: 'n', instance: 'i', gateway: 'default' }, subscribe: true })
  publisher.accept(controllerEnd, true)
  const table = fleets([route('ml/a')])
  publisher.publish(table)
  await until('in force', () => publisher.proxies()[0]?.acked.size === 1)
  const [theirs, ours] = [store.active?.routes.get('ml/a'), table.get('default')?.routes.get('ml/a')]
  assert.deepEqual(theirs, ours)
  assert.notEqual(theirs, ours)
  publisher.close()
  await until('closed', () => publisher.proxies().length === 0)
})
