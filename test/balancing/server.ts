import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'

/** A model server that only takes time: `x-takes` says how many milliseconds. */
export type ModelServer = Readonly<{ port: number; close(): void }>

/**
 * @param places requests that it works on at once; the others wait in order
 * @param slower how much longer it takes than it is asked to
 * @param holds milliseconds of work that fill its cache
 */
export async function startModelServer(places: number, slower: number, holds: number): Promise<ModelServer> {
  let [running, size] = [0, 0]
  const queue: (() => void)[] = []
  const server = createServer((request, response) => {
    if (request.url === '/metrics') {
      // As vLLM writes it.
      response.end(`# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0"} ${running}\n` +
        `vllm:num_requests_waiting{engine="0"} ${queue.length}\nvllm:kv_cache_usage_perc{engine="0"} ${Math.min(1, size / holds)}\n`)
      return
    }
    const takes = Number(request.headers['x-takes'])
    const begin = (): void => {
      running++
      size += takes
      setTimeout(() => {
        running--
        size -= takes
        response.end('{}')
        queue.shift()?.()
      }, takes * slower)
    }
    if (running < places) begin()
    else queue.push(begin)
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on a port
  const { port } = server.address() as AddressInfo
  return {
    port,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
