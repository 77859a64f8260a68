import type { IncomingMessage, RequestListener } from 'node:http'
import type { Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { Retry } from '../../../table/resilience.ts'
import type { Rule } from '../../../table/route.ts'
import { testProxy, type TestProxy } from '../proxy.ts'
import { httpUpstream, rawUpstream } from '../sockets.ts'
import { active, route, rule } from '../table.ts'

export const retry = (more: Partial<Retry> = {}): Retry =>
  ({ attempts: 1, reasons: ['connect-failure', 'reset-before-response'], codes: [], budgetPercent: 100, backoff: 1, ...more })

/** One rule in front of these ports, in turn. */
export function ruleOver(t: TestContext, ports: readonly number[], more: Partial<Rule> = {}): Promise<TestProxy> {
  return testProxy(t, active('1', [route({ rules: [rule(more)] })], { 'ml/s:80': ports }))
}

export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

export type Counted = Readonly<{ port: number; seen: string[] }>

/** A backend that remembers what it was sent: each body, or the request's target where there is none. */
export async function recording(t: TestContext, answer: RequestListener): Promise<Counted> {
  const seen: string[] = []
  const port = await httpUpstream(t, (request, response) => {
    void bodyOf(request).then((body) => {
      seen.push(body.length > 0 ? body.toString() : request.url ?? '')
      answer(request, response)
    }, () => {})
  })
  return { port, seen }
}

/** One that takes whole requests, then does this with the connection. */
export async function failing(t: TestContext, then: (socket: Socket) => void): Promise<Counted> {
  const seen: string[] = []
  const port = await rawUpstream(t, (socket) => {
    let text = ''
    let size = 0
    let whole: number | 'chunked' | undefined
    let done = false
    socket.on('data', (chunk) => {
      const more = chunk.toString('latin1')
      text += more
      size += chunk.length
      whole ??= wholeSize(text)
      // Of a large body only the end is looked at, so that who tells the time of it is not slow itself.
      if (done || whole === undefined || (whole === 'chunked' ? !more.endsWith('0\r\n\r\n') : size < whole)) return
      done = true
      seen.push(text)
      then(socket)
    })
  })
  return { port, seen }
}

/** Bytes of a request, once its head is there. */
function wholeSize(text: string): number | 'chunked' | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const head = text.slice(0, end)
  return head.includes('transfer-encoding: chunked') ? 'chunked' : end + 4 + Number(/\r\ncontent-length: (\d+)/.exec(head)?.[1] ?? 0)
}

/** The sums of a metric by its labels' values. */
export async function metric(proxy: TestProxy, name: string): Promise<readonly string[]> {
  const text = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  return text.split('\n').filter((line) => line.startsWith(`${name}{`))
}
