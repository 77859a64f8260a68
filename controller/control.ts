import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { strangeHost } from '../console/guard.ts'
import { createConsole } from '../console/port.ts'
import type { ConsoleState, Look } from '../table/console.ts'
import { rolloutPage, sessionPage, type Reply, type RolloutPages } from './rollout/page.ts'

export type ControlOptions = Readonly<{
  host: string
  port: number
  /** True once a first complete table has been published. */
  ready(): boolean
  /** `items`: every resource of ours with its status; `problems`: what is wrong and belongs to none of them. */
  status(): Readonly<{ items: readonly unknown[]; problems: readonly unknown[] }>
  /** Answers GET /metrics. */
  metrics(request: IncomingMessage, response: ServerResponse): void
  /** Names under which it may be asked about routes, besides addresses and those of this machine and its cluster. */
  names: readonly string[]
  /** What the fleet shows to who looks. */
  look(look: Look): Promise<ConsoleState>
  /** Who may give commands about rollouts, and who obeys them. */
  commands: RolloutPages
}>

/**
 * The control port: health, metrics, `GET /status`, the console of the fleet, and `POST /rollout`. Whoever reaches it may read all of that: it is
 * bound to loopback unless the operator binds it elsewhere. Who may give commands: actions/access.ts.
 */
export async function listenControl(options: ControlOptions): Promise<{ url: string; close(): Promise<void> }> {
  const json = (value: unknown): Reply => ({ status: 200, type: 'application/json', body: `${JSON.stringify(value)}\n` })
  const text = (status: number, body: string): Reply => ({ status, type: 'text/plain; charset=utf-8', body: `${body}\n` })

  const pages: Record<string, () => Reply | Promise<Reply>> = {
    '/healthz': () => text(200, 'ok'),
    '/readyz': () => (options.ready() ? text(200, 'ok') : text(503, 'no complete table has been published yet')),
    '/status': () => json(options.status()),
  }

  const console = createConsole({ state: (look) => options.look(look), names: options.names })
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/'
    if (path !== '/console/session' && console.owns(path)) {
      console.answer(request, response, path).catch((error: unknown) => response.writeHead(500).end(`${String(error)}\n`))
      return
    }
    if (path === '/metrics' && (request.method === 'GET' || request.method === 'HEAD')) {
      options.metrics(request, response)
      return
    }
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined
    const answer = async () => {
      if (path === '/rollout') return rolloutPage(request, options.commands)
      if (path === '/console/session') return sessionPage(request, options.commands.access)
      if (!page) return text(404, `no such page; there are ${Object.keys(pages).join(', ')}, /metrics, /console, and POST /rollout`)
      if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'GET only')
      // Health and metrics tell nothing of anybody, and are asked for by whatever name.
      const strange = path === '/status' ? strangeHost(request.headers.host, options.names) : undefined
      if (strange !== undefined) return text(403, strange)
      return page()
    }
    answer().then(
      ({ status, type, body, headers }) => response.writeHead(status, { 'content-type': type, ...headers }).end(body),
      (error: unknown) => response.writeHead(500).end(`${String(error)}\n`),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, resolve)
  })
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('not bound to a port')
  const { address, port, family } = bound
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
