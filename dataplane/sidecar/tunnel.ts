import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bind } from '../proxy_options.ts'
import type { Log } from '../telemetry/log.ts'
import { createDial, join, type FleetOptions } from './fleet.ts'

export type TunnelOptions = Readonly<{
  /** Where the application finds it; on loopback, since whoever comes in is taken for the application. */
  bind: Bind
  fleet: FleetOptions
  log: Log
}>

/** The application's way to its fleet. */
export type Tunnel = Readonly<{
  server: Server
  /** Connections since the start, and now. */
  counts: () => Readonly<{ open: number; carried: number; failed: number }>
  /** Takes no new connection, and gives those that are open that long. Milliseconds. */
  drain(timeout: number): Promise<void>
}>

/** Connections of the application at once. */
const connectionsMax = 10_000

/** Of RFC 9113 section 3.4: whoever begins so speaks HTTP/2. No method of HTTP/1.1 begins like it. */
const PREFACE = 'PRI'

/**
 * Takes the application's plain connections to a proxy of the fleet, over mutual TLS, byte by byte: what a request may,
 * where it goes, what is counted and what is answered is decided there, once, and by nobody whom the application's pod
 * could get the better of.
 */
export function createTunnel({ fleet, log }: Pick<TunnelOptions, 'fleet' | 'log'>): Tunnel {
  const dial = createDial(fleet)
  const open = new Set<Socket>()
  let carried = 0
  let failed = 0
  let told: string | undefined

  async function carry(client: Socket): Promise<void> {
    const first = await firstOf(client)
    if (first === undefined) return
    const http2 = first.toString('latin1', 0, PREFACE.length) === PREFACE
    const proxy = await dial(http2 ? 'h2' : 'http/1.1')
    if (typeof proxy === 'string') {
      failed++
      if (proxy !== told) log.write('warn', 'no proxy of the fleet can be reached', { why: proxy })
      told = proxy
      return refuse(client, http2)
    }
    told = undefined
    carried++
    if (client.destroyed) return void proxy.destroy()
    proxy.write(first)
    await join(client, proxy)
  }

  const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    open.add(client)
    client.once('close', () => open.delete(client))
    // Whoever waits for it hears of the close.
    client.on('error', () => {})
    void carry(client)
  })
  server.maxConnections = connectionsMax

  return {
    server,
    counts: () => ({ open: open.size, carried, failed }),
    async drain(timeout) {
      const closed = new Promise((resolve) => { server.close(resolve) })
      await Promise.race([closed, sleep(timeout, undefined, { ref: false })])
      for (const client of open) client.destroy()
      await closed
    },
  }
}

/** What the application says first, enough of it to know its protocol; undefined: it has left. */
async function firstOf(client: Socket): Promise<Buffer | undefined> {
  const pieces: Buffer[] = []
  let size = 0
  while (size < PREFACE.length) {
    const piece = await once(client)
    if (piece === undefined) break
    pieces.push(piece)
    size += piece.length
  }
  if (size > 0) return Buffer.concat(pieces)
  client.end()
  return undefined
}

function once(client: Socket): Promise<Buffer | undefined> {
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>()
  const done = (piece?: Buffer): void => {
    client.pause()
    client.off('data', done).off('end', ended).off('close', ended)
    resolve(piece)
  }
  const ended = (): void => done()
  client.on('data', done).on('end', ended).on('close', ended)
  return promise
}

/** As the gateway itself would say it (docs/errors.md). */
function refuse(client: Socket, http2: boolean): void {
  if (http2) return void client.destroy()
  const body = `${JSON.stringify({ title: 'no proxy of the fleet can be reached', status: 502, code: 'upstream_connect_failed' })}\n`
  client.end([
    'HTTP/1.1 502 Bad Gateway', 'content-type: application/problem+json', 'x-modelroute-error: upstream_connect_failed',
    `content-length: ${Buffer.byteLength(body)}`, 'connection: close', '', body,
  ].join('\r\n'))
  // What is left of the request is of no more use; unread, it would take the answer away with it.
  client.resume()
}
