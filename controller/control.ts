import { createServer } from 'node:http'
import { rolloutPage, type RolloutAnswer, type RolloutRequest } from './rollout/page.ts'

export type ControlOptions = Readonly<{
  host: string
  port: number
  /** True once a first complete table has been published. */
  ready(): boolean
  /** `items`: every resource of ours with its status; `problems`: what is wrong and belongs to none of them. */
  status(): Readonly<{ items: readonly unknown[]; problems: readonly unknown[] }>
  metrics(): Promise<{ body: string; contentType: string }>
  /** Obeys a command about a rollout. */
  rollout(request: RolloutRequest): Promise<RolloutAnswer>
}>

/**
 * The control port: health, metrics, `GET /status`, and `POST /rollout`. Whoever reaches it may do all of that: it is
 * bound to loopback unless the operator binds it elsewhere.
 */
export async function listenControl(options: ControlOptions): Promise<{ url: string; close(): Promise<void> }> {
  const json = (value: unknown) => ({ status: 200, type: 'application/json', body: `${JSON.stringify(value)}\n` })
  const text = (status: number, body: string) => ({ status, type: 'text/plain; charset=utf-8', body: `${body}\n` })

  const pages: Record<string, () => { status: number; type: string; body: string } | Promise<ReturnType<typeof text>>> = {
    '/healthz': () => text(200, 'ok'),
    '/readyz': () => (options.ready() ? text(200, 'ok') : text(503, 'no complete table has been published yet')),
    '/status': () => json(options.status()),
    '/metrics': async () => {
      const { body, contentType } = await options.metrics()
      return { status: 200, type: contentType, body }
    },
  }

  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/'
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined
    const answer = async () => {
      if (path === '/rollout') return rolloutPage(request, options.rollout)
      if (!page) return text(404, `no such page; there are ${Object.keys(pages).join(', ')}, and POST /rollout`)
      if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'GET only')
      return page()
    }
    answer().then(
      ({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body),
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
