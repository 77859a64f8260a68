import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Table } from './runtime.ts'
import type { Metrics } from './telemetry/metrics.ts'

export type AdminDeps = Readonly<{
  metrics: Metrics
  table: () => Table | undefined
  /** A first complete table is in force, and the process is not about to end. */
  ready: () => boolean
}>

type Answer = Readonly<{ status: number; type: string; body: string }>
type Handler = () => Answer | Promise<Answer>

const plain = (status: number, body: string): Answer => ({ status, type: 'text/plain; charset=utf-8', body: `${body}\n` })

/** What a kubelet and Prometheus may ask, on a port that others may reach: it tells nothing of the table. */
export function createHealthServer(deps: AdminDeps): Server {
  return createPort(healthHandlers(deps))
}

/** The same, and the table in force; for the operator, so not to be bound beyond the machine without thought. */
export function createAdminServer(deps: AdminDeps): Server {
  return createPort(new Map([...healthHandlers(deps), ['/table', () => showTable(deps.table())]]))
}

function healthHandlers({ metrics, ready }: AdminDeps): Map<string, Handler> {
  return new Map<string, Handler>([
    ['/healthz', () => plain(200, 'ok')],
    ['/readyz', () => ready() ? plain(200, 'ready') : plain(503, 'not ready')],
    ['/metrics', async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() })],
  ])
}

function showTable(table: Table | undefined): Answer {
  const body = table === undefined
    ? { version: null, routes: [], endpoints: [] }
    : { version: table.version, routes: [...table.source.routes.values()], endpoints: [...table.source.endpoints.values()] }
  return { status: 200, type: 'application/json', body: `${JSON.stringify(body)}\n` }
}

function createPort(handlers: ReadonlyMap<string, Handler>): Server {
  return createServer({ headersTimeout: 10_000, requestTimeout: 10_000, connectionsCheckingInterval: 1000 }, (request, response) => {
    const handler = handlers.get((request.url ?? '').replace(/\?.*$/, ''))
    if (handler === undefined) send(request, response, plain(404, 'not found'))
    else if (request.method !== 'GET' && request.method !== 'HEAD') send(request, response, plain(405, 'only GET'))
    else {
      answerOf(handler).then(
        (answer) => send(request, response, answer),
        () => send(request, response, plain(500, 'failed')),
      )
    }
  })
}

const answerOf = async (handler: Handler) => handler()

function send(request: IncomingMessage, response: ServerResponse, { status, type, body }: Answer): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' })
  response.end(request.method === 'HEAD' ? undefined : body)
}
