import type { Server } from 'node:net'

/** Starts listening; port 0 takes a free one. */
export async function listen(server: Server, host: string, port: number): Promise<{ url: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, host, () => {
    server.off('error', reject)
    resolve()
  })
  await promise
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('not bound to a port')
  const { address, family, port: taken } = bound
  const scheme = 'setSecureContext' in server ? 'https' : 'http'
  return { url: `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${taken}` }
}
