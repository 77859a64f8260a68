import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { freePorts } from '../free-ports.ts'

/** A test, or whoever else ends what is begun for it. */
export type Owner = Readonly<{ after(end: () => unknown): void }>

/** Listens on a free loopback port until the test ends. */
async function listening(t: Owner, server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const address = server.address()
  return typeof address === 'object' && address ? address.port : 0
}

/** It keeps connections: one that it closes just as it is used again is another test's matter. */
export function httpUpstream(t: Owner, handler: RequestListener): Promise<number> {
  return listening(t, createHttpServer({ keepAliveTimeout: 0 }, handler))
}

/** An upstream by hand: what it is sent, and the socket to answer on. */
export function rawUpstream(t: TestContext, onConnection: (socket: Socket) => void): Promise<number> {
  return listening(t, createServer(onConnection))
}

/** A port on which nobody listens. */
export async function deadPort(): Promise<number> {
  const [port = 0] = await freePorts(1)
  return port
}

export type RawClient = Readonly<{
  socket: Socket
  text(): string
  send(text: string): void
  /** Resolves once what has come so far satisfies `done`; rejects when the connection ends before. */
  until(done: (text: string) => boolean): Promise<string>
  /** Everything, once the connection has ended; `reset` tells a broken end from a clean one. */
  end(): Promise<{ text: string; reset: boolean }>
}>

/** A client by hand, for what no HTTP library would send, or hide. */
export async function rawClient(t: TestContext, url: string): Promise<RawClient> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  let text = ''
  let reset = false
  let over = false
  const changed = () => socket.emit('changed')
  socket.setEncoding('latin1')
  socket.on('data', (chunk) => { text += String(chunk); changed() })
  socket.on('error', () => { reset = true })
  socket.once('end', () => { over = true; changed() })
  socket.once('close', () => { over = true; changed() })
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  return {
    socket,
    text: () => text,
    send: (more) => { socket.write(more, 'latin1') },
    async until(done) {
      while (!done(text)) {
        if (over) throw new Error(`the connection ended after ${JSON.stringify(text)}`)
        await once(socket, 'changed')
      }
      return text
    },
    async end() {
      for (;;) {
        if (over) return { text, reset }
        await once(socket, 'changed')
      }
    },
  }
}

/** Waits for a condition, by looking often; the test's own timeout bounds it. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => { setTimeout(resolve, 2) })
}
