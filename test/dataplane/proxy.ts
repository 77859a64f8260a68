import type { TestContext } from 'node:test'
import { startProxy, type Proxy } from '../../dataplane/proxy.ts'
import type { ProxyOptions } from '../../dataplane/proxy_options.ts'
import type { Activate, Active } from '../../dataplane/store.ts'
import { createLog } from '../../dataplane/telemetry/log.ts'
import '../steady.ts'

type AccessLine = Readonly<Record<string, string | number | undefined>>
export type TestProxy = Proxy & Readonly<{ activate: Activate; url: string; lines: () => AccessLine[]; text: () => string }>

/** A proxy on free ports until the test ends, its log in memory. */
export async function testProxy(t: TestContext, table?: Active, options: Partial<ProxyOptions> = {}): Promise<TestProxy> {
  let text = ''
  const log = createLog({ sink: { write: (more, done) => { text += more; done() } } })
  const free = { host: '127.0.0.1', port: 0 }
  let activate: Activate = () => []
  const boot = (given: Activate) => {
    activate = given
    return Promise.resolve()
  }
  const proxy = await startProxy({ http: free, admin: free, health: free, log, boot, tableAge: () => 0, ...options })
  t.after(() => proxy.close())
  if (table) {
    const refused = activate(table)
    if (refused.length > 0) throw new Error(JSON.stringify(refused))
  }
  const all = () => {
    void log.flush()
    return text
  }
  return {
    ...proxy,
    activate,
    url: proxy.urls.http,
    text: all,
    lines: () => all().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as AccessLine)
      .filter((line) => line['msg'] === 'request'),
  }
}
