import { connect, type Socket } from 'node:net'
import { parsed } from './processes.ts'

/**
 * The load generator: raw sockets, requests made up once, answers only counted. One job as JSON on the command line,
 * one line of JSON as the result. Every job is bounded in time or count and goes to 127.0.0.1 only.
 */
export type Job = Readonly<{
  port: number
  path: string
  headers?: Readonly<Record<string, string>>
  body?: string
} & (
  /** As many requests as go through `connections`, for `ms`. */
  | { kind: 'closed'; connections: number; ms: number }
  /** `rate` a second whatever happens, for `ms`. */
  | { kind: 'open'; rate: number; connections: number; ms: number }
  /** `streams` answers of events at once. */
  | { kind: 'events'; streams: number }
  /** `connections` bodies of `bytes` at once, one way or the other. */
  | { kind: 'upload' | 'download'; connections: number; bytes: number }
)>

/** Milliseconds; `wrong` counts answers that were not 200 and connections that broke. */
export type Result = Readonly<{ done: number; wrong: number; ms: number; latencies: readonly number[] }>

export const usualBody = `{"inputs":[{"name":"amount","datatype":"FP32","shape":[1],"data":[120]}],"pad":"${'x'.repeat(943)}"}`
const head = (method: string, path: string, more = '') =>
  `${method} ${path} HTTP/1.1\r\nhost: bench.example.com\r\ncontent-type: application/json\r\n${more}\r\n`

const moreOf = ({ headers, body }: { headers: Job['headers']; body: string }) =>
  Object.entries({ ...headers, 'content-length': body.length }).map(([name, value]) => `${name}: ${value}\r\n`).join('')

type Handler = Readonly<{ answered: (ok: boolean) => void; data?: (text: string) => void }>

/** Counts what comes on one connection; knows Content-Length and, for events, the chunked ending. */
function open(port: number, handler: Handler): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let left = -1
  let ok = true
  let held = ''
  socket.on('data', (chunk: Buffer) => {
    let size = chunk.length
    if (left === -1) {
      held += chunk.toString('latin1')
      const end = held.indexOf('\r\n\r\n')
      if (end < 0) return
      ok = held.startsWith('HTTP/1.1 200')
      const length = /\r\ncontent-length: *(?<length>\d+)/i.exec(held.slice(0, end + 2))?.groups?.['length']
      left = length === undefined ? -2 : Number(length)
      size = held.length - end - 4
      if (left === -2) handler.data?.(held.slice(end + 4))
      if (left === -2 && held.endsWith('\r\n0\r\n\r\n')) left = size
      held = ''
    } else if (left === -2) {
      const text = chunk.toString('latin1')
      handler.data?.(text)
      if (text.endsWith('0\r\n\r\n')) left = size
    }
    if (left < 0) return
    left -= size
    if (left > 0) return
    left = -1
    handler.answered(ok)
  })
  const { promise, resolve } = Promise.withResolvers<Socket>()
  socket.once('connect', () => resolve(socket))
  socket.once('error', () => {
    resolve(socket)
    handler.answered(false)
  })
  return promise
}

const milliseconds = (ns: bigint) => Number(ns) / 1e6
const now = () => process.hrtime.bigint()

async function closed({ port, path, headers, body = usualBody, connections, ms }: Job & { kind: 'closed' }): Promise<Result> {
  const text = head('POST', path, moreOf({ headers, body })) + body
  let [done, wrong] = [0, 0]
  const start = now()
  const until = start + BigInt(ms) * 1_000_000n
  await Promise.all(Array.from({ length: connections }, async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const socket = await open(port, {
      answered(ok) {
        done++
        if (!ok) wrong++
        if (socket.destroyed || (done % 16 === 0 && now() > until) || stopped) {
          stopped = true
          resolve()
        } else socket.write(text)
      },
    })
    socket.once('close', resolve)
    socket.write(text)
    await promise
    socket.destroy()
  }))
  return { done, wrong, ms: milliseconds(now() - start), latencies: [] }
}
let stopped = false

/** Latency counts from the moment a request was due, so that a stall shows in all that it delays. */
async function paced({ port, path, headers, body = usualBody, rate, connections, ms }: Job & { kind: 'open' }): Promise<Result> {
  const text = head('POST', path, moreOf({ headers, body })) + body
  const latencies: number[] = []
  let wrong = 0
  const idle: Socket[] = []
  const waiting: bigint[] = []
  const due = new Map<Socket, bigint>()
  const send = (socket: Socket, at: bigint) => {
    due.set(socket, at)
    socket.write(text)
  }
  const sockets = await Promise.all(Array.from({ length: connections }, async () => {
    const socket: Socket = await open(port, {
      answered(ok) {
        latencies.push(milliseconds(now() - (due.get(socket) ?? 0n)))
        if (!ok) wrong++
        const next = waiting.shift()
        if (next === undefined) idle.push(socket)
        else send(socket, next)
      },
    })
    return socket
  }))
  idle.push(...sockets)
  const total = Math.round((rate * ms) / 1000)
  const apart = BigInt(Math.round(1e9 / rate))
  const start = now()
  for (let i = 0; i < total; i++) {
    const at = start + BigInt(i) * apart
    // A timer is a millisecond late at best; the last of the way is taken turn by turn.
    while (now() < at) await new Promise((resolve) => (at - now() > 2_000_000n ? setTimeout(resolve, 1) : setImmediate(resolve)))
    // Late by less than a turn of the loop counts as on time: it is the generator that was late.
    const socket = idle.shift()
    if (socket) send(socket, now())
    else waiting.push(at)
  }
  const end = now() + 5_000_000_000n
  while (latencies.length < total && now() < end) await new Promise((resolve) => setTimeout(resolve, 5))
  for (const socket of sockets) socket.destroy()
  return { done: latencies.length, wrong: wrong + total - latencies.length, ms: milliseconds(now() - start), latencies }
}

async function events({ port, path, streams }: Job & { kind: 'events' }): Promise<Result> {
  const latencies: number[] = []
  let [done, wrong] = [0, 0]
  const start = now()
  await Promise.all(Array.from({ length: streams }, async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const socket = await open(port, {
      data(text) {
        const at = now()
        for (const { groups } of text.matchAll(/"at":(?<at>\d+)/g)) {
          done++
          latencies.push(milliseconds(at - BigInt(groups?.['at'] ?? 0)))
        }
      },
      answered(ok) {
        if (!ok) wrong++
        resolve()
      },
    })
    socket.write(head('GET', path))
    await promise
    socket.destroy()
  }))
  return { done, wrong, ms: milliseconds(now() - start), latencies }
}

async function transfer({ port, path, kind, connections, bytes }: Job & { kind: 'upload' | 'download' }): Promise<Result> {
  const block = Buffer.alloc(65_536, 'x')
  let wrong = 0
  const start = now()
  await Promise.all(Array.from({ length: connections }, async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const socket = await open(port, {
      answered(ok) {
        if (!ok) wrong++
        resolve()
      },
    })
    if (kind === 'download') socket.write(head('GET', path))
    else {
      socket.write(head('POST', path, `content-length: ${bytes}\r\n`))
      for (let left = bytes; left > 0; left -= block.length) {
        if (!socket.write(left < block.length ? block.subarray(0, left) : block)) {
          await new Promise<void>((go) => {
            const moved = () => {
              socket.off('drain', moved).off('close', moved)
              go()
            }
            socket.once('drain', moved).once('close', moved)
          })
        }
      }
    }
    await promise
    socket.destroy()
  }))
  return { done: connections, wrong, ms: milliseconds(now() - start), latencies: [] }
}

function run(job: Job): Promise<Result> {
  if (job.kind === 'closed') return closed(job)
  if (job.kind === 'open') return paced(job)
  return job.kind === 'events' ? events(job) : transfer(job)
}

if (import.meta.main) console.log(JSON.stringify(await run(parsed<Job>(process.argv[2] ?? ''))))
