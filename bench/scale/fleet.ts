import { randomUUID } from 'node:crypto'
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { forFleet } from '../../dataplane/console/told.ts'
import type { Look } from '../../table/console.ts'
import { heartbeat } from '../../table/heartbeat.ts'
import { SCHEMA } from '../../table/messages.ts'
import { parsed } from '../processes.ts'
import { now, type FromFleet, type Sums, type ToFleet } from './messages.ts'
import { createShown } from './shown.ts'

/**
 * Simulated proxies: each is a connection of its own with mutual TLS and HTTP/2, says hello, takes what it is sent,
 * acknowledges it, and pings as a proxy does. What they do not do is build tables: 200 proxies have 200 cores for that, and
 * here they share one with what is measured.
 */

type Seen = { count: number; last: number; bytes: number; item: number; told: boolean }

const tell = (message: FromFleet) => process.send?.(message)
const resources = ['endpoints', 'credentials', 'secrets', 'routes'] as const
const head = /^\{"type":"(?<type>snapshot|delta)","schema":\d+,"resource":"(?<resource>[a-z]+)","version":"(?<version>[^"]+)"/
/** The routes of an update, as far as the identity of an edit goes. */
const routes = /\{"id":"(?<id>[^"]+)","tenant":"[^"]*","generation":(?<generation>\d+)/g

/** All of them show the same: what is measured is who puts it together. */
let shown: ReturnType<typeof createShown> | undefined
const views = new Map<string, Promise<object>>()

function show(look: Look): Promise<object> {
  const key = JSON.stringify(look)
  const view = views.get(key) ?? (shown ??= createShown(5000))(look).then((state) => forFleet(state, 'sim'))
  views.set(key, view)
  return view
}

let fleet: ReturnType<typeof proxy>[] = []
let seen = new Map<string, Seen>()
const awaited = new Set<string>()
let whole: { first: number; count: number } = { first: 0, count: 0 }

function acknowledged(text: string, route: string, generation: string, at: number): void {
  const key = `${route} ${generation}`
  const known = seen.get(key) ?? { count: 0, last: 0, bytes: 0, item: 0, told: false }
  seen.set(key, known)
  known.count++
  known.last = at
  if (known.count === 1) {
    known.bytes = Buffer.byteLength(text) + 1
    const begin = text.indexOf('"upsert":[') + 10
    known.item = text.indexOf('],"remove"') - begin
  }
  answer(key)
}

function answer(key: string): void {
  const known = seen.get(key)
  if (!awaited.has(key) || known === undefined || known.count < fleet.length) return
  awaited.delete(key)
  const [route = '', generation = ''] = key.split(' ')
  tell({ said: 'acknowledged', route, generation: Number(generation), at: known.last, bytes: known.bytes, item: known.item })
}

function proxy(index: number, { url, cert, key, ca }: Extract<ToFleet, { do: 'dial' }>) {
  const sums = { snapshots: 0, snapshotBytes: 0, deltas: 0, deltaBytes: 0, wireBytes: 0, closed: 0 }
  let session: ClientHttp2Session | undefined
  let socket: TLSSocket | undefined
  let ended = false

  function took(text: string, send: (message: object) => void): void {
    const { type, resource, version } = head.exec(text.slice(0, 200))?.groups ?? {}
    if (resource === undefined) return look(text, send)
    send({ type: 'ack', resource, version, refused: [] })
    const at = now()
    if (type === 'snapshot') {
      sums.snapshots++
      sums.snapshotBytes += text.length + 1
      if (resource !== 'routes') return
      if (whole.count === 0) whole.first = at
      if (++whole.count === fleet.length) tell({ said: 'whole', first: whole.first, last: at })
      return
    }
    sums.deltas++
    sums.deltaBytes += text.length + 1
    if (resource !== 'routes') return
    for (const { groups } of text.matchAll(routes)) acknowledged(text, groups?.['id'] ?? '', groups?.['generation'] ?? '', at)
  }

  function look(text: string, send: (message: object) => void): void {
    const message = parsed<{ type: string; id: number; look: Look }>(text)
    if (message.type !== 'look') return
    void show(message.look).then((state) => send({ type: 'seen', id: message.id, state }))
  }

  function dial(): void {
    const { port } = new URL(url)
    session = connectHttp2(url, {
      settings: { enablePush: false, initialWindowSize: 4 << 20 },
      createConnection: () => (socket = connectTls({ host: '127.0.0.1', port: Number(port), minVersion: 'TLSv1.3', ALPNProtocols: ['h2'], cert, key, ca })),
    })
    session.on('error', () => {})
    session.on('connect', () => session?.destroyed || session?.setLocalWindowSize(4 << 20))
    session.once('close', () => {
      sums.closed++
      if (!ended) setTimeout(dial, 20)
    })
    heartbeat(session, 2_000)
    const stream = session.request({ ':method': 'POST', ':path': '/v1/stream', 'content-type': 'application/x-ndjson' })
    const send = (message: object) => void stream.write(`${JSON.stringify(message)}\n`)
    stream.on('error', () => {})
    stream.on('response', () => send({
      type: 'hello', schema: SCHEMA, node: `sim-${index}`, instance: randomUUID(), gateway: 'default', subscribe: true, seen: true,
      versions: Object.fromEntries(resources.map((resource) => [resource, null])),
    }))
    let rest: Buffer[] = []
    stream.on('data', (chunk: Buffer) => {
      let from = 0
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
        took(Buffer.concat([...rest, chunk.subarray(from, end)]).toString(), send)
        rest = []
        from = end + 1
      }
      if (from < chunk.length) rest.push(chunk.subarray(from))
    })
  }
  dial()
  return {
    sums: (): Sums => ({ ...sums, wireBytes: socket?.bytesRead ?? 0 }),
    hangUp() {
      ended = true
      session?.destroy()
    },
  }
}

process.on('message', (message: ToFleet) => {
  if (message.do === 'dial') {
    whole = { first: 0, count: 0 }
    seen = new Map()
    fleet = []
    for (let index = 0; index < message.count; index++) fleet.push(proxy(index, message))
  } else if (message.do === 'await') {
    const key = `${message.route} ${message.generation}`
    awaited.add(key)
    answer(key)
  } else if (message.do === 'sums') {
    const [first] = fleet
    if (first) tell({ said: 'sums', sums: first.sums() })
  } else {
    for (const each of fleet) each.hangUp()
    fleet = []
    tell({ said: 'gone' })
  }
})
