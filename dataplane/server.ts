import type { OutgoingHttpHeader } from 'node:http'
import { Socket } from 'node:net'
import type { Express, NextFunction, Request, Response } from 'express'
import { IncomingMessage, ServerResponse } from './http.ts'
import { isAboutModels } from './models/paths.ts'
import type { Failure } from './pipeline/errors.ts'
import type { Exchange, Way } from './pipeline/exchange.ts'
import type { Portal } from './portal/portal.ts'
import type { Table } from './runtime.ts'

/** What the gateway answers itself: an Express app behind the pipeline, which hands it what it does not proxy. */
export type Pages = Readonly<{
  /** Whether a path is taken before any route. */
  before(path: string): boolean
  /** Whether a path may be served where no route serves it. */
  after(path: string): boolean
  /** Undefined: there is no such page. */
  open(exchange: Exchange, table: Table | undefined): Promise<Way | Failure | undefined>
}>

type Settle = (outcome: Way | Failure | undefined) => void
type Asked = Readonly<{ exchange: Exchange; table: Table | undefined; settle: Settle; fail: (why: unknown) => void }>

export function createPages(portal: Portal | undefined): Pages {
  const asked = new WeakMap<object, Asked>()
  /** Loaded with the first page that is asked for: it takes 12 MiB, and many gateways never need it. */
  let app: Promise<Express> | undefined
  return {
    before: (path) => portal?.owns(path) === true,
    after: isAboutModels,
    async open(exchange, table) {
      if (table !== undefined && portal?.owns(exchange.path) !== true) return (await import('./models/answers.ts')).tellOfModels(exchange, table)
      const { promise, resolve, reject } = Promise.withResolvers<Way | Failure | undefined>()
      const request = messageOf(exchange)
      asked.set(request, { exchange, table, settle: resolve, fail: reject })
      app ??= appOf(portal, asked)
      app.then((handle) => handle(request, responseOf(request, exchange, resolve)), reject)
      return promise
    },
  }
}

async function appOf(portal: Portal | undefined, asked: WeakMap<object, Asked>): Promise<Express> {
  const { default: express } = await import('express')
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.enable('case sensitive routing')

  type Show = Portal['missing']
  const shows = (show: Show) => async (request: Request, response: Response) => {
    const exchange = asked.get(request)?.exchange
    if (portal === undefined || exchange === undefined) return
    let answer: Awaited<ReturnType<Show>>
    try {
      answer = await show(exchange)
    } catch (error) {
      answer = portal.failed(exchange, error)
    }
    for (const [name, value] of answer.headers) response.setHeader(name, value)
    response.status(answer.status).send(Buffer.from(answer.body))
  }
  for (const { method, path, show } of portal?.pages ?? []) app[method](path, shows(show))
  app.use((request, response, next) => {
    if (portal?.owns(request.path) === true) void shows(portal.missing)(request, response)
    else next()
  })

  app.use((request) => asked.get(request)?.settle(undefined))
  app.use((error: unknown, request: Request, _response: Response, _next: NextFunction) => asked.get(request)?.fail(error))
  return app
}

/** The request as Express knows requests: its screened head. Who needs the body reads it as the pipeline does. */
function messageOf({ method, path, received, request }: Exchange): IncomingMessage {
  const message = new IncomingMessage(new Socket())
  message.method = method
  message.url = path + received.query
  message.httpVersion = request.httpVersion
  message.rawHeaders = [...received.headers]
  if (received.authority !== '') message.rawHeaders.push('host', received.authority)
  return message
}

/** A response that is kept until it is whole, and then goes the way of every answer. */
function responseOf(message: IncomingMessage, exchange: Exchange, settle: Settle): ServerResponse {
  const response = new ServerResponse(message)
  const end = (body?: unknown): ServerResponse => {
    const headers: string[] = []
    for (const [name, value] of Object.entries(response.getHeaders())) for (const one of listOf(value)) headers.push(name, one)
    headers.push('x-request-id', exchange.requestId)
    settle({
      start() {
        exchange.response.writeHead(response.statusCode, headers)
        exchange.response.end(Buffer.isBuffer(body) ? body : undefined)
      },
      clientClosed() {},
    })
    return response
  }
  return Object.assign(response, { end })
}

function listOf(value: OutgoingHttpHeader | undefined): string[] {
  return Array.isArray(value) ? value : [String(value)]
}
