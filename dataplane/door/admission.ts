import { randomUUID } from 'node:crypto'
import type { Server, Socket } from 'node:net'
import { failure } from '../pipeline/errors.ts'
import { rawError } from '../pipeline/reply.ts'

/** Client connections at once, and how many of them may come from one address. */
export type ConnectionLimits = Readonly<{ connections: number; perAddress: number }>

const connectionLimits: ConnectionLimits = { connections: 10_000, perAddress: 5000 }

/** Connections that may wait for a place, and for how many milliseconds; others are refused at once. */
const waitingMax = 1024
const waitMax = 5000
/** A client that keeps its side open after it was refused is not waited for longer than this. */
const lingerMax = 1000

export type Admission = Readonly<{
  /** Stands before whatever listens to a server's connections so far. */
  guard(server: Server, secure: boolean): void
  /** More than half of the places are taken: whoever takes one and does nothing with it is to leave it soon. */
  crowded(): boolean
}>

export type AdmissionOptions = Readonly<{
  limits?: ConnectionLimits
  /** Whether an address may have more than others: those of load balancers bring many clients each. */
  exempt?: (address: string) => boolean
  waitMs?: number
}>

type Waiting = { socket: Socket; enter: () => void }

/** Counts the connections of all public ports together. What finds no place waits in turn, unread, for a while. */
export function createAdmission({ limits = connectionLimits, exempt = () => false, waitMs = waitMax }: AdmissionOptions = {}): Admission {
  const byAddress = new Map<string, number>()
  const queue = new Set<Waiting>()
  let open = 0

  function next(): void {
    for (const waiting of queue) {
      if (open >= limits.connections) return
      queue.delete(waiting)
      waiting.enter()
    }
  }

  function enter(socket: Socket, pass: () => void): void {
    open++
    socket.once('close', () => {
      open--
      next()
    })
    pass()
  }

  /** False: its address has as many as it may. It counts from here on, also while it waits. */
  function count(socket: Socket): boolean {
    const address = socket.remoteAddress ?? ''
    const before = byAddress.get(address) ?? 0
    if (before >= limits.perAddress && !exempt(address)) return false
    byAddress.set(address, before + 1)
    socket.once('close', () => {
      const left = (byAddress.get(address) ?? 1) - 1
      if (left === 0) byAddress.delete(address)
      else byAddress.set(address, left)
    })
    return true
  }

  function wait(socket: Socket, pass: () => void, refuse: () => void): void {
    const leave = (): void => {
      clearTimeout(timer)
      queue.delete(waiting)
      socket.off('close', leave)
      socket.off('error', ignore)
    }
    const waiting: Waiting = { socket, enter: () => { leave(); enter(socket, pass) } }
    const timer = setTimeout(() => { leave(); refuse() }, waitMs)
    socket.on('error', ignore)
    socket.once('close', leave)
    queue.add(waiting)
  }

  return {
    crowded: () => open > limits.connections / 2,
    guard(server, secure) {
      const listeners = server.listeners('connection')
      server.removeAllListeners('connection')
      server.on('connection', (socket: Socket) => {
        const pass = (): void => { for (const listener of listeners) Reflect.apply(listener, server, [socket]) }
        const refuse = (): void => turnAway(socket, secure)
        if (!count(socket)) refuse()
        else if (open < limits.connections) enter(socket, pass)
        else if (queue.size < waitingMax) wait(socket, pass, refuse)
        else refuse()
      })
    },
  }
}

const tooMany = failure('overloaded', 'The gateway has more connections than it can take.')

/** Under TLS an answer would cost the handshake that there is no room for. */
function turnAway(socket: Socket, secure: boolean): void {
  socket.on('error', ignore)
  if (secure) {
    socket.destroy()
    return
  }
  socket.end(rawError(tooMany, randomUUID()))
  socket.resume()
  setTimeout(() => socket.destroy(), lingerMax).unref()
}

/** The socket closes after it, and that is listened to. */
function ignore(): void {}
