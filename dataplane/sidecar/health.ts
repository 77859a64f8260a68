import type { Server } from 'node:http'
import { labelText, type Family, type Sample } from '../../exposition/family.ts'
import { expose } from '../../exposition/text.ts'
import { createServer } from '../http.ts'
import type { Tunnel } from './tunnel.ts'

type HealthDeps = Readonly<{ ready: () => boolean; counts: Tunnel['counts'] }>

/** `/healthz`, `/readyz` and `/metrics`, as proxies have them. */
export function createHealth({ ready, counts }: HealthDeps): Server {
  return createServer({ headersTimeout: 10_000, requestTimeout: 10_000, connectionsCheckingInterval: 1000 }, (request, response) => {
    const [status, body] = answerOf((request.url ?? '').replace(/\?.*$/, ''))
    request.resume()
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' })
    response.end(request.method === 'HEAD' ? undefined : body)
  })

  function answerOf(path: string): readonly [number, string] {
    if (path === '/healthz') return [200, 'ok\n']
    if (path === '/readyz') return ready() ? [200, 'ready\n'] : [503, 'not ready\n']
    if (path === '/metrics') return [200, metricsOf(counts())]
    return [404, 'not found\n']
  }
}

function metricsOf({ open, carried, failed }: ReturnType<Tunnel['counts']>): string {
  const plain = (name: string, type: 'counter' | 'gauge', help: string, rows: readonly Sample[], labels: readonly string[] = []): Family =>
    ({ name, type, help, labels, rows: () => rows })
  return [...expose([
    plain('modelroute_sidecar_connections', 'gauge', 'Connections of the application that are open.', [{ labels: '', value: open }]),
    plain('modelroute_sidecar_connections_total', 'counter', 'Connections of the application that came to a proxy of the fleet, and that found none.', [
      { labels: labelText(['result'], ['carried']), value: carried }, { labels: labelText(['result'], ['failed']), value: failed },
    ], ['result']),
    plain('process_resident_memory_bytes', 'gauge', 'Resident memory size in bytes.', [{ labels: '', value: process.memoryUsage.rss() }]),
  ], 'text')].join('')
}
