import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { parseDestination } from '../../dataplane/telemetry/ledger/destination.ts'
import { testProxy, type TestProxy } from '../dataplane/proxy.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { active, route } from '../dataplane/table.ts'
import { startRedis, until, type Server } from './servers.ts'

const root = await mkdtemp(join(tmpdir(), 'modelroute-ledger-'))
after(() => rm(root, { recursive: true, force: true }))
const folderOf = (name: string) => mkdtemp(join(root, `${name}-`))

/** A proxy whose ledger is a stream there. @param folder where records wait; undefined: in memory */
async function proxyAt(t: TestContext, url: string, folder: string | undefined): Promise<TestProxy & { ask: (...ids: readonly string[]) => Promise<void> }> {
  const to = parseDestination(url)
  assert.ok(typeof to !== 'string')
  const upstream = await httpUpstream(t, (request, response) => {
    request.resume().on('end', () => response.end('{}'))
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [upstream] }), { ledger: { to, folder } })
  return {
    ...proxy,
    async ask(...ids) {
      const statuses = await Promise.all(ids.map(async (id) => (await fetch(proxy.url, { headers: { 'x-request-id': id } })).status))
      assert.deepEqual(new Set(statuses), new Set([200]))
    },
  }
}

const named = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}-${i}`)

type Entry = Readonly<{ text: string; request: string; id: string }>

/** All that the stream has, in its order. */
async function entriesOf(server: Server): Promise<Entry[]> {
  const text = await server.ask('XRANGE', 'usage', '-', '+')
  return text.split('\r\n').filter((line) => line.startsWith('{')).map((line) => {
    const { request_id: request, id } = JSON.parse(line) as { request_id: string; id: string }
    return { text: line, request, id }
  })
}

const requestsOf = (entries: readonly Entry[]) => [...new Set(entries.map(({ request }) => request))].sort()
/** Two entries with one id are one record. */
const recordsOf = (entries: readonly Entry[]) => new Set(entries.map(({ text }) => text)).size
const idsOf = (entries: readonly Entry[]) => new Set(entries.map(({ id }) => id)).size

for (const kept of ['on disk', 'in memory']) {
  test(`each request is an entry of the stream (${kept} until then), which keeps about as many as it is to`, async (t) => {
    // By default it forgets a hundred at a time.
    const server = await startRedis(['--stream-node-max-entries', '10'])
    t.after(() => server.end())
    const { ask, text } = await proxyAt(t, `${server.url}?stream=usage&maxlen=50`, kept === 'on disk' ? await folderOf('ledger') : undefined)
    await ask(...named('a', 40))
    await until(async () => (await entriesOf(server)).length === 40)
    assert.deepEqual(requestsOf(await entriesOf(server)), named('a', 40).sort())
    await ask(...named('b', 100))
    await until(async () => requestsOf(await entriesOf(server)).includes('b-99'))
    await ask('last')
    await until(async () => (await entriesOf(server)).at(-1)?.request === 'last')
    const { length } = await entriesOf(server)
    assert.ok(length >= 50 && length < 50 + 10, String(length))
    assert.ok(!text().includes('cannot deliver'), text())
  })
}

test('while the server is away answers go out as ever, and when it is back it gets what it missed', async (t) => {
  const [disk, folder] = [await folderOf('redis'), await folderOf('ledger')]
  const settings = ['--dir', disk, '--appendonly', 'yes']
  const first = await startRedis(settings)
  const { ask, text } = await proxyAt(t, `${first.url}?stream=usage`, folder)
  await ask(...named('before', 30))
  await until(async () => (await entriesOf(first)).length >= 30)
  await first.end()
  await ask(...named('during', 30))
  await until(() => text().includes('ledger: cannot deliver'))
  await ask(...named('late', 30))
  const second = await startRedis(settings, { port: first.port })
  t.after(() => second.end())
  await ask(...named('after', 30))
  const all = [...named('before', 30), ...named('during', 30), ...named('late', 30), ...named('after', 30)].sort()
  await until(async () => requestsOf(await entriesOf(second)).length >= all.length)
  const entries = await entriesOf(second)
  assert.deepEqual(requestsOf(entries), all)
  assert.deepEqual([recordsOf(entries), idsOf(entries)], [all.length, all.length])
  assert.ok(text().includes('ledger: delivering again'))
  // Nothing waits any more that would be sent another time.
  await until(async () => (await readdir(folder)).length <= 2)
})

test('what has arrived without the word of it is sent again, under the same id', async (t) => {
  const server = await startRedis()
  t.after(() => server.end())
  const port = await deafFirst(t, server.port)
  const { ask } = await proxyAt(t, `redis://127.0.0.1:${port}?stream=usage`, await folderOf('ledger'))
  await ask(...named('twice', 20))
  await until(async () => {
    const entries = await entriesOf(server)
    return entries.length > 20 && requestsOf(entries).length === 20
  })
  const entries = await entriesOf(server)
  assert.deepEqual([recordsOf(entries), idsOf(entries)], [20, 20])
})

/** A way to the server on which the first answer to an XADD never arrives: the connection ends in its place. */
async function deafFirst(t: TestContext, to: number): Promise<number> {
  const sockets = new Set<Socket>()
  let deaf = false
  const way = createServer((near) => {
    const far = connect(to, '127.0.0.1')
    let adding = false
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => {
        near.destroy()
        far.destroy()
      })
    }
    near.on('data', (bytes: Buffer) => {
      adding ||= bytes.includes('xadd')
      far.write(bytes)
    })
    far.on('data', (bytes: Buffer) => {
      if (adding && !deaf) {
        deaf = true
        near.destroy()
      } else near.write(bytes)
    })
  }).listen(0, '127.0.0.1')
  t.after(() => {
    way.close()
    for (const socket of sockets) socket.destroy()
  })
  await once(way, 'listening')
  return (way.address() as AddressInfo).port
}
