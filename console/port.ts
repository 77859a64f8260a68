import { hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { extname, join } from 'node:path'
import type { ConsoleState, Look } from '../table/console.ts'
import { foreign } from './guard.ts'
import { readLook } from './look.ts'

export type ConsoleDeps = Readonly<{
  /** What is to be seen now. Called only while somebody looks. */
  state: (look: Look, request: IncomingMessage) => Promise<ConsoleState>
  /** Names of this port besides those that only its machine or cluster knows. */
  names?: readonly string[]
}>

/** Answers requests to `/console` and below. */
export type ConsolePort = Readonly<{
  owns(path: string): boolean
  answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<void>
}>

type File = Readonly<{ type: string; body: Buffer; etag: string }>

const folder = join(import.meta.dirname, 'page')
const types = new Map([
  ['.html', 'text/html; charset=utf-8'], ['.css', 'text/css; charset=utf-8'],
  ['.js', 'text/javascript; charset=utf-8'], ['.svg', 'image/svg+xml'],
])

/** Nothing from elsewhere, nothing inline, no text ever taken for markup, and in nobody's frame. */
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; "
  + "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

const always = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}

export function createConsole({ state, names }: ConsoleDeps): ConsolePort {
  let files: ReadonlyMap<string, File> | undefined
  return {
    owns: (path) => path === '/console' || path.startsWith('/console/'),
    async answer(request, response, path) {
      const head = request.method === 'HEAD'
      const send = (status: number, type: string, body: string | Buffer, headers: Readonly<Record<string, string>> = {}) => {
        response.writeHead(status, { ...always, 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store', ...headers })
        response.end(head ? undefined : body)
      }
      const say = (status: number, text: string, headers = {}) => send(status, 'text/plain; charset=utf-8', `${text}\n`, headers)
      const wrong = foreign(request.headers, request.method, names)
      if (wrong !== undefined) return say(403, wrong)
      if (request.method !== 'GET' && !head) return say(405, 'only GET', { allow: 'GET' })
      if (path === '/console/state') {
        const look = readLook((request.url ?? '').replace(/^[^?]*\??/, ''))
        return typeof look === 'string' ? say(400, look) : send(200, 'application/json', `${JSON.stringify(await state(look, request))}\n`)
      }
      // Relative addresses of the page would lead elsewhere from there.
      if (path === '/console/') return say(308, 'see /console', { location: '../console' })
      files ??= readFiles()
      const file = files.get(path)
      if (file === undefined) return say(404, 'not found')
      const caching = { etag: file.etag, 'cache-control': 'no-cache' }
      if (request.headers['if-none-match']?.split(/,\s*/).includes(file.etag) === true) {
        response.writeHead(304, { ...always, ...caching }).end()
        return
      }
      send(200, file.type, file.body, caching)
    },
  }
}

/** Everything in the folder of the page, which is small, by its path. */
function readFiles(): Map<string, File> {
  const files = new Map<string, File>()
  for (const name of readdirSync(folder)) {
    const type = types.get(extname(name))
    if (type === undefined) continue
    const body = readFileSync(join(folder, name))
    files.set(name === 'index.html' ? '/console' : `/console/${name}`, { type, body, etag: `"${hash('sha256', body, 'hex').slice(0, 20)}"` })
  }
  return files
}
