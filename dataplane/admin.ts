import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { foreign } from '../console/guard.ts'
import { createConsole } from '../console/port.ts'
import type { ConsoleState, Look } from '../table/console.ts'
import { purgeIn, type Purge } from './cache/shared.ts'
import type { Question } from './explain/question.ts'
import { createServer } from './http.ts'
import type { Table } from './runtime.ts'
import type { Metrics } from './telemetry/metrics.ts'

export type AdminDeps = Readonly<{
  metrics: Metrics
  table: () => Table | undefined
  /** What callers used, and what their limits leave them. */
  usage: () => Promise<readonly unknown[]>
  /** What became of the copies of requests. */
  mirrored: () => Promise<readonly unknown[]>
  /** What models were asked and answered, by version. */
  drift: () => Promise<readonly unknown[]>
  /** How variants stand with their endpoints. */
  upstreams: () => Promise<readonly unknown[]>
  /** Forgets answers that are kept, in all processes of this proxy and, where a store is shared, in all proxies. */
  purge: (purge: Purge) => Promise<unknown>
  /** What would be done with a request; where several processes serve, by the first of them. Undefined: there is no table yet. */
  explain: (question: Question) => Promise<unknown>
  /** What the console shows. */
  look: (look: Look) => Promise<ConsoleState>
  /** A first complete table is in force, and the process is not about to end. */
  ready: () => boolean
}>

type Answer = Readonly<{ status: number; type: string; body: string }>
/** `open`: it tells nothing that another web page may not read. */
type Answering = Readonly<{ method: 'GET' | 'POST' | 'DELETE'; open?: true; answer: (body: string, query: string) => Answer | Promise<Answer> }>
/** Or by itself, piece by piece. */
type Handler = Answering | Readonly<{ method: 'GET'; open: true; stream: (request: IncomingMessage, response: ServerResponse) => void }>
const get = (answer: Answering['answer']): Answering => ({ method: 'GET', answer })

const plain = (status: number, body: string): Answer => ({ status, type: 'text/plain; charset=utf-8', body: `${body}\n` })

/** What a kubelet and Prometheus may ask, on a port that others may reach: it tells nothing of the table. */
export function createHealthServer(deps: AdminDeps): Server {
  return createPort(healthHandlers(deps))
}

/** The same, the table in force and the console; for the operator, so not to be bound beyond the machine without thought. */
export function createAdminServer(deps: AdminDeps): Server {
  const console = createConsole({ state: deps.look })
  return createPort(new Map([
    ...healthHandlers(deps),
    ['/table', get(() => showTable(deps.table()))],
    ['/usage', get(async () => listed(await deps.usage()))],
    ['/mirrors', get(async () => listed(await deps.mirrored()))],
    ['/predictions', get(async () => listed(await deps.drift()))],
    ['/upstreams', get(async () => listed(await deps.upstreams()))],
    ['/explain', { method: 'POST', answer: (body) => answerQuestion(deps, body) }],
    ['/cache', { method: 'DELETE', answer: (_, query) => forget(deps, query) }],
  ]), {
    paths: ['/console'],
    answer(request, response, path) {
      if (!console.owns(path)) return false
      console.answer(request, response, path).catch(() => send(request, response, plain(500, 'failed')))
      return true
    },
  })
}

const listed = (items: readonly unknown[]): Answer => ({ status: 200, type: 'application/json', body: `${JSON.stringify({ items })}\n` })

function healthHandlers({ metrics, ready }: AdminDeps): Map<string, Handler> {
  return new Map<string, Handler>([
    ['/healthz', { open: true, ...get(() => plain(200, 'ok')) }],
    ['/readyz', { open: true, ...get(() => ready() ? plain(200, 'ready') : plain(503, 'not ready')) }],
    ['/metrics', { method: 'GET', open: true, stream: metrics.scrape }],
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

async function answerQuestion({ explain }: AdminDeps, body: string): Promise<Answer> {
  const { readQuestion } = await import('./explain/question.ts')
  const question = readQuestion(body)
  if (typeof question === 'string') return plain(400, question)
  const explanation = await explain(question)
  if (explanation === undefined) return plain(503, 'there is no table yet')
  return { status: 200, type: 'application/json', body: `${JSON.stringify(explanation)}\n` }
}

async function forget({ purge }: AdminDeps, query: string): Promise<Answer> {
  const what = purgeIn(query)
  if (typeof what === 'string') return plain(400, what)
  return { status: 200, type: 'application/json', body: `${JSON.stringify(await purge(what))}\n` }
}

type Others = Readonly<{ paths: readonly string[]; answer: (request: IncomingMessage, response: ServerResponse, path: string) => boolean }>
const none: Others = { paths: [], answer: () => false }

/** @param others take requests that no handler is for */
function createPort(handlers: ReadonlyMap<string, Handler>, others = none): Server {
  const pages = [...[...handlers].map(([path, { method }]) => method === 'GET' ? path : `${method} ${path}`), ...others.paths].join(', ')
  return createServer({ headersTimeout: 10_000, requestTimeout: 10_000, connectionsCheckingInterval: 1000 }, (request, response) => {
    const path = (request.url ?? '').replace(/\?.*$/, '')
    const handler = handlers.get(path)
    const wrong = handler?.open === true ? undefined : foreign(request.headers, request.method)
    if (wrong !== undefined) send(request, response, plain(403, wrong))
    else if (handler === undefined) {
      if (!others.answer(request, response, path)) send(request, response, plain(404, `no such page; there are ${pages}`))
    } else if (request.method !== handler.method && !(handler.method === 'GET' && request.method === 'HEAD')) {
      response.setHeader('allow', handler.method)
      send(request, response, plain(405, `only ${handler.method}`))
    } else if ('stream' in handler) handler.stream(request, response)
    else {
      answerOf(handler, request).then(
        (answer) => send(request, response, answer),
        () => send(request, response, plain(500, 'failed')),
      )
    }
  })
}

async function answerOf({ method, answer }: Answering, request: IncomingMessage): Promise<Answer> {
  const query = /\?(.*)$/s.exec(request.url ?? '')?.[1] ?? ''
  if (method !== 'POST') return answer('', query)
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > bodyMax) return plain(413, `more than ${bodyMax} bytes`)
    chunks.push(chunk)
  }
  return answer(Buffer.concat(chunks).toString(), query)
}

const bodyMax = 1_048_576

function send(request: IncomingMessage, response: ServerResponse, { status, type, body }: Answer): void {
  if (response.headersSent) return
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' })
  response.end(request.method === 'HEAD' ? undefined : body)
}
