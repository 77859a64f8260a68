import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { Publisher, type PublisherOptions } from '../../controller/push/publish.ts'
import type { PushServerOptions } from '../../controller/push/server.ts'
import { listenPush } from '../../controller/push/server.ts'
import type { ReceiverOptions } from '../../dataplane/receive/stream.ts'
import { startReceiver } from '../../dataplane/receive/stream.ts'
import type { Activate, Active, Disk } from '../../dataplane/store.ts'
import { createStore } from '../../dataplane/store.ts'
import type { Update } from '../../table/messages.ts'
import type { Order } from '../../table/order.ts'

/** Resolves when it holds; a test that waits for what never comes fails with the description. */
export async function until(what: string, holds: () => boolean, withinMs = 60_000): Promise<void> {
  const deadline = Date.now() + withinMs
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

export type Line = { level: string; message: string; fields: Readonly<Record<string, unknown>> }

export function recorder() {
  const lines: Line[] = []
  return {
    lines,
    log: (level: string, message: string, fields: Line['fields'] = {}): void => {
      lines.push({ level, message, fields })
    },
    text: () => lines.map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`).join('\n'),
  }
}

export async function controller(options: Partial<PushServerOptions> = {}, more: PublisherOptions = {}) {
  const notes = recorder()
  const publisher = new Publisher({ log: notes.log, ...more })
  const server = await listenPush({
    host: '127.0.0.1',
    port: 0,
    accept: (link, confided, namespace) => publisher.accept(link, confided, namespace),
    log: notes.log,
    pingMs: 5_000,
    ...options,
  })
  return {
    publisher,
    url: server.url,
    notes,
    async close() {
      publisher.close()
      await server.close()
    },
  }
}

export type ProxyOptions = Partial<ReceiverOptions> & { activate?: Activate; disk?: Disk }

export function proxy(controllers: readonly string[], options: ProxyOptions = {}) {
  const notes = recorder()
  const activations: Active[] = []
  const updates: Update[] = []
  const inner = createStore({
    activate(next) {
      activations.push(next)
      return options.activate?.(next) ?? []
    },
    disk: options.disk,
    log: notes.log,
  })
  const store: typeof inner = Object.create(inner, {
    handle: {
      value: (message: Update, order?: Order) => {
        updates.push(message)
        return inner.handle(message, order)
      },
    },
    handleInSlices: {
      value: (message: Update, order?: Order) => {
        updates.push(message)
        return inner.handleInSlices(message, order)
      },
    },
  })
  const receiver = startReceiver({
    store,
    controllers,
    gateway: 'default',
    node: 'proxy',
    log: notes.log,
    ...options,
    timing: { backoffMin: 5, backoffMax: 50, ping: 5_000, silent: 5_000, resolve: 200, ...options.timing },
  })
  return { store, receiver, activations, updates, notes, close: async () => receiver.close() }
}

/** A wire between a proxy and a controller that a test can hold, cut and watch. */
export async function relay(url: string) {
  const { hostname, port } = new URL(url)
  const sockets = new Set<Socket>()
  let held = false
  let down = 0
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    upstream.on('data', (chunk: Buffer) => (down += chunk.length))
    client.pipe(upstream).pipe(client)
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    if (held) hold()
  })
  function hold(): void {
    held = true
    for (const socket of sockets) socket.unpipe().pause()
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${address.port}`,
    /** Bytes that went to the proxy. */
    bytes: () => down,
    /** Nothing passes any more, and nobody is told: a cut cable. */
    hold,
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    async close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
