import { startProxy } from '../dataplane/proxy.ts'
import type { ProxyOptions } from '../dataplane/proxy_options.ts'
import type { Active } from '../dataplane/store.ts'
import { createLog } from '../dataplane/telemetry/log.ts'

/** A proxy of its own process, with one table from the beginning: says its port, and writes no log. */
export async function serveTable(table: Active, options: Partial<ProxyOptions> = {}): Promise<void> {
  const proxy = await startProxy({
    http: { host: '127.0.0.1', port: 0 }, log: createLog({ level: 'warn', sink: { write: (_text, done) => done() } }), tableAge: () => 0,
    boot: (activate) => {
      activate(table)
      return Promise.resolve()
    },
    ...options,
  })
  console.log(JSON.stringify({ port: Number(new URL(proxy.urls.http).port) }))
}
