import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below those that a system gives to who asks for any (from 32768 on Linux, 49152 elsewhere), for either end of a
 * connection: nobody else comes by one of them between a look at it and its use.
 */
const [first, last] = [15_000, 32_000]
const given = new Set<number>()

/** Ports on which nobody listens, no two the same: for programs that cannot take port 0, and for those that call in vain. */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) {
    const port = first + Math.floor(Math.random() * (last - first))
    if (given.has(port) || !await isFree(port, host)) continue
    given.add(port)
    ports.push(port)
  }
  return ports
}

async function isFree(port: number, host: string): Promise<boolean> {
  const server = createServer().listen(port, host)
  try {
    await once(server, 'listening')
  } catch {
    return false
  }
  await new Promise((resolve) => server.close(resolve))
  return true
}
