import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { explain, readQuestion } from './explain/explain.ts'
import type { Table } from './runtime.ts'
import type { Metrics } from './telemetry/metrics.ts'

export type AdminDeps = Readonly<{
  metrics: Metrics
  table: () => Table | undefined
  /** What callers used, and what their limits leave them. */
  usage: () => Promise<readonly unknown[]>
  /** What became of the copies of requests. */
  mirrored: () => Promise<readonly unknown[]>
  /** How variants stand with their endpoints. */
  upstreams: () => Promise<readonly unknown[]>
  /** A first complete table is in force, and the process is not about to end. */
  ready: () => boolean
}>

type Answer = Readonly<{ status: number; type: string; body: string }>
type Handler = Readonly<{ method: 'GET' | 'POST'; answer: (body: string) => Answer | Promise<Answer> }>
const get = (answer: Handler['answer']): Handler => ({ method: 'GET', answer })

const plain = (status: number, body: string): Answer => ({ status, type: 'text/plain; charset=utf-8', body: `${body}\n` })

/** What a kubelet and Prometheus may ask, on a port that others may reach: it tells nothing of the table. */
export function createHealthServer(deps: AdminDeps): Server {
  return createPort(healthHandlers(deps))
}

/** The same, and the table in force; for the operator, so not to be bound beyond the machine without thought. */
export function createAdminServer(deps: AdminDeps): Server {
  return createPort(new Map([
    ...healthHandlers(deps),
    ['/table', get(() => showTable(deps.table()))],
    ['/usage', get(async () => listed(await deps.usage()))],
    ['/mirrors', get(async () => listed(await deps.mirrored()))],
    ['/upstreams', get(async () => listed(await deps.upstreams()))],
    ['/explain', { method: 'POST', answer: (body) => answerQuestion(deps.table(), body) }],
  ]))
}

const listed = (items: readonly unknown[]): Answer => ({ status: 200, type: 'application/json', body: `${JSON.stringify({ items })}\n` })

function healthHandlers({ metrics, ready }: AdminDeps): Map<string, Handler> {
  return new Map<string, Handler>([
    ['/healthz', get(() => plain(200, 'ok'))],
    ['/readyz', get(() => ready() ? plain(200, 'ready') : plain(503, 'not ready'))],
    ['/metrics', get(async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() }))],
  ])
}

function showTable(table: Table | undefined): Answer {
  const body = table === undefined
    ? { version: null, routes: [], endpoints: [], credentials: [], secrets: [] }
    : {
        version: table.version,
        routes: [...table.source.routes.values()],
        endpoints: [...table.source.endpoints.values()],
        credentials: [...table.source.credentials.values()],
        secrets: [...table.source.secrets.values()].map(({ id, data }) => ({ id, keys: Object.keys(data) })),
      }
  return { status: 200, type: 'application/json', body: `${JSON.stringify(body)}\n` }
}

async function answerQuestion(table: Table | undefined, body: string): Promise<Answer> {
  if (table === undefined) return plain(503, 'there is no table yet')
  const question = readQuestion(body)
  if (typeof question === 'string') return plain(400, question)
  return { status: 200, type: 'application/json', body: `${JSON.stringify(await explain(table, question))}\n` }
}

function createPort(handlers: ReadonlyMap<string, Handler>): Server {
  return createServer({ headersTimeout: 10_000, requestTimeout: 10_000, connectionsCheckingInterval: 1000 }, (request, response) => {
    const handler = handlers.get((request.url ?? '').replace(/\?.*$/, ''))
    if (handler === undefined) send(request, response, plain(404, 'not found'))
    else if (request.method !== handler.method && !(handler.method === 'GET' && request.method === 'HEAD')) {
      response.setHeader('allow', handler.method)
      send(request, response, plain(405, `only ${handler.method}`))
    } else {
      answerOf(handler, request).then(
        (answer) => send(request, response, answer),
        () => send(request, response, plain(500, 'failed')),
      )
    }
  })
}

async function answerOf({ method, answer }: Handler, request: IncomingMessage): Promise<Answer> {
  if (method === 'GET') return answer('')
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > bodyMax) return plain(413, `more than ${bodyMax} bytes`)
    chunks.push(chunk)
  }
  return answer(Buffer.concat(chunks).toString())
}

const bodyMax = 1_048_576

function send(request: IncomingMessage, response: ServerResponse, { status, type, body }: Answer): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' })
  response.end(request.method === 'HEAD' ? undefined : body)
}
