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
    let done = false
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (done || !isWhole(text)) return
      done = true
      seen.push(text)
      then(socket)
    })
  })
  return { port, seen }
}

function isWhole(text: string): boolean {
  const head = text.indexOf('\r\n\r\n')
  if (head === -1) return false
  const length = Number(/\r\ncontent-length: (\d+)/.exec(text.slice(0, head))?.[1] ?? 0)
  return text.length >= head + 4 + length && (!text.includes('transfer-encoding: chunked') || text.endsWith('0\r\n\r\n'))
}

/** The sums of a metric by its labels' values. */
export async function metric(proxy: TestProxy, name: string): Promise<readonly string[]> {
  const text = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  return text.split('\n').filter((line) => line.startsWith(`${name}{`))
}
