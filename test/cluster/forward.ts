// What `kubectl port-forward` does, which the kubelet of these tests does not: a port of 127.0.0.1 here is one of 127.0.0.1 in a Pod.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { adopt, temporaryFolder } from './process.ts'
import { until } from './wait.ts'

/** Sockets of the file system are not of a network: one end of the way is in the Pod, the other here. */
const inside = `
  const { connect, createServer } = require('node:net')
  const [path, port] = process.argv.slice(1)
  createServer((client) => {
    const pod = connect(Number(port), '127.0.0.1')
    for (const [one, other] of [[client, pod], [pod, client]]) one.on('error', () => other.destroy()).pipe(other)
  }).listen(path, () => console.log('listening'))`

/** @param enter the words that run a command in the Pod's network @returns what ends it */
export async function portForward(enter: readonly string[], podPort: number, localPort: number): Promise<() => void> {
  const path = join(temporaryFolder('forward'), 'socket')
  const words = [process.execPath, '-e', inside, path, String(podPort)]
  const [command = '', ...args] = enter
  const child = spawn(command, [...args, ...words], { stdio: ['ignore', 'pipe', 'inherit'] })
  adopt(child)
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => { throw new Error('the forwarder ended') })])
  const server = createServer((client) => {
    const pod = connect(path)
    for (const [one, other] of [[client, pod], [pod, client]] as const) one.on('error', () => other.destroy()).pipe(other)
  })
  server.listen(localPort, '127.0.0.1')
  await until(`port ${localPort}`, () => server.listening)
  return () => {
    server.close()
    child.kill()
  }
}
