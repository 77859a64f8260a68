import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder } from '../cache-folder.ts'
import { freePorts } from '../free-ports.ts'
import { until } from './servers.ts'

/** A real TCP proxy that makes trouble as told, built once from its published module. Needs Go. */

const version = 'v2.12.0'
const cache = join(cacheFolder, `toxiproxy-${version}`)

export async function toxiproxy(): Promise<string> {
  const file = join(cache, 'server')
  if (existsSync(file)) return file
  mkdirSync(cache, { recursive: true })
  process.stderr.write(`building toxiproxy ${version} (once; kept in ${cache})\n`)
  await promisify(execFile)('nice', ['go', 'install', `github.com/Shopify/toxiproxy/v2/cmd/server@${version}`], {
    cwd: cache, env: { ...process.env, CGO_ENABLED: '0', GOBIN: cache, GOFLAGS: '' }, maxBuffer: 2 ** 24,
  })
  return file
}

export type Toxiproxy = Readonly<{
  url: string
  /** Begins a trouble on the way back. @returns what ends it */
  toxic(type: string, attributes: Readonly<Record<string, number>>): Promise<() => Promise<void>>
  /** Takes connections, or cuts those there are and takes none. */
  enable(enabled: boolean): Promise<void>
  end(): Promise<void>
}>

export async function startToxiproxy(upstream: number): Promise<Toxiproxy> {
  const [api = 0, port = 0] = await freePorts(2)
  const child: ChildProcess = spawn(await toxiproxy(), ['-host', '127.0.0.1', '-port', String(api)], { stdio: 'ignore', env: { ...process.env, LOG_LEVEL: 'error' } })
  process.once('exit', () => child.kill('SIGKILL'))
  const call = async (method: string, path: string, body?: unknown) => {
    const answer = await fetch(`http://127.0.0.1:${api}${path}`, { method, ...(body !== undefined && { body: JSON.stringify(body) }) })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
  }
  await until(() => call('GET', '/version').then(() => true, () => false))
  await call('POST', '/proxies', { name: 'redis', listen: `127.0.0.1:${port}`, upstream: `127.0.0.1:${upstream}`, enabled: true })
  return {
    url: `redis://127.0.0.1:${port}`,
    async toxic(type, attributes) {
      await call('POST', '/proxies/redis/toxics', { name: 'trouble', type, stream: 'downstream', attributes })
      return () => call('DELETE', '/proxies/redis/toxics/trouble')
    },
    enable: (enabled) => call('POST', '/proxies/redis', { enabled }),
    async end() {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}
