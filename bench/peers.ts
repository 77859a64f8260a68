import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { cache, onPath, otherCore, outputOf, proxyCore, said, start } from './processes.ts'

/** A proxy that is ready to be measured. */
export type Peer = Readonly<{ name: string; pid: number; port: number; call: Call }>
/** The 1 KiB request, where a peer cannot pass on the one that all others get. */
export type Call = Readonly<{ path: string; headers?: Readonly<Record<string, string>>; body?: string }>
export type Missing = Readonly<{ name: string; missing: string }>

type Make = (upstream: number, folder: string) => Promise<Peer | string>

const here = import.meta.dirname
export const call: Call = { path: '/v2/models/fraud/infer' }
const chat = (headers: Record<string, string>): Call => ({
  path: '/v1/chat/completions',
  headers,
  body: JSON.stringify({ model: 'bench', messages: [{ role: 'user', content: 'x'.repeat(960) }] }),
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const bound = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (bound === null || typeof bound === 'string') throw new Error('not bound to a port')
  return bound.port
}

/** Resolves once something answers on a port. */
export async function answering(port: number, request: string, within: number, headers: Readonly<Record<string, string>> = {}): Promise<boolean> {
  const end = Date.now() + within
  while (Date.now() < end) {
    const response = await fetch(`http://127.0.0.1:${port}${request}`, { headers, signal: AbortSignal.timeout(2000) }).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.status === 200) return true
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return false
}

const nginx: Make = async (upstream, folder) => {
  const program = await onPath('nginx')
  if (!program) return 'apt-get install nginx-light'
  const [port, file] = [await freePort(), join(folder, 'nginx.conf')]
  // Bodies of streams and files are passed on as they come, which is what is compared; 1 KiB ones as nginx has it.
  await writeFile(file, `worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log stderr crit; user root;
events { worker_connections 4096; }
http {
  access_log off; client_max_body_size 0; keepalive_requests 100000000; tcp_nodelay on;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  upstream backend { server 127.0.0.1:${upstream}; keepalive 256; keepalive_requests 100000000; }
  proxy_http_version 1.1; proxy_set_header Connection "";
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://backend; proxy_buffering off; proxy_request_buffering off; }
    location /v2/ { proxy_pass http://backend; }
  }
}`)
  const { pid } = start(proxyCore, [program, '-e', 'stderr', '-c', file])
  return await answering(port, '/', 5000) ? { name: 'nginx', pid, port, call } : 'nginx did not start'
}

const haproxy: Make = async (upstream, folder) => {
  const program = await onPath('haproxy')
  if (!program) return 'apt-get install haproxy'
  const [port, file] = [await freePort(), join(folder, 'haproxy.cfg')]
  await writeFile(file, `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:${port}
  default_backend out
backend out
  server one 127.0.0.1:${upstream}
`)
  const { pid } = start(proxyCore, [program, '-db', '-f', file])
  return await answering(port, '/', 5000) ? { name: 'haproxy', pid, port, call } : 'haproxy did not start'
}

const goProxy: Make = async (upstream) => {
  const go = await onPath('go')
  if (!go) return 'Go itself'
  const program = join(cache, 'bench-reverseproxy')
  await mkdir(cache, { recursive: true })
  await outputOf(otherCore, [go, '-C', join(here, 'peers/go'), 'build', '-o', program, '.'])
  const started = start(proxyCore, [program, `http://127.0.0.1:${upstream}`], { GOMAXPROCS: '1' })
  const { port } = await said<{ port: number }>(started) ?? { port: 0 }
  return { name: 'go', pid: started.pid, port, call }
}

const node = (name: string, file: string): Make => async (upstream) => {
  const started = start(proxyCore, [process.execPath, join(here, 'peers', file), `http://127.0.0.1:${upstream}`], { NODE_ENV: 'production' })
  const line = await said<{ port: number }>(started)
  return line ? { name, pid: started.pid, port: line.port, call } : `${file} did not start`
}

const portkey: Make = async (upstream, folder) => {
  const home = join(cache, 'bench-portkey')
  const main = join(home, 'node_modules/@portkey-ai/gateway/build/start-server.js')
  if (!existsSync(main)) return 'npm run bench -- --install'
  const port = await freePort()
  const { pid } = start(proxyCore, [process.execPath, main, `--port=${port}`, '--headless'], {
    NODE_ENV: 'production',
    // Its guard against inner addresses lets pass what it is told to trust.
    TRUSTED_CUSTOM_HOSTS: '127.0.0.1,localhost',
    HOME: folder,
  })
  if (!await answering(port, '/', 15_000)) return 'Portkey did not start'
  return { name: 'portkey', pid, port, call: chat({
    'x-portkey-provider': 'openai', 'x-portkey-custom-host': `http://127.0.0.1:${upstream}/v1`, authorization: 'Bearer none',
  }) }
}

const litellm: Make = async (upstream, folder) => {
  const program = join(cache, 'bench-litellm/bin/litellm')
  if (!existsSync(program)) return 'npm run bench -- --install'
  const [port, file] = [await freePort(), join(folder, 'litellm.yaml')]
  await writeFile(file, `model_list:
- model_name: bench
  litellm_params: {model: openai/bench, api_base: "http://127.0.0.1:${upstream}/v1", api_key: none}
`)
  const { pid } = start(proxyCore, [program, '--config', file, '--host', '127.0.0.1', '--port', String(port), '--telemetry', 'False'], {
    LITELLM_LOCAL_MODEL_COST_MAP: 'True', LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: 'true', HOME: folder,
  })
  if (!await answering(port, '/health/liveliness', 60_000)) return 'LiteLLM did not start'
  return { name: 'litellm', pid, port, call: chat({}) }
}

/** Peers that speak HTTP and no more; then the ones that only know OpenAI's API, and are installed on request. */
const makes: Readonly<Record<string, Make>> = {
  nginx,
  haproxy,
  go: goProxy,
  express: node('express', 'express.ts'),
  naive: node('naive', 'naive.ts'),
  portkey,
  litellm,
}
export const peerNames = Object.keys(makes)

export async function startPeers(upstream: number, folder: string, wanted: readonly string[]): Promise<(Peer | Missing)[]> {
  const peers: (Peer | Missing)[] = []
  for (const [name, make] of Object.entries(makes)) {
    if (!wanted.includes(name)) continue
    const peer = await make(upstream, folder)
    peers.push(typeof peer === 'string' ? { name, missing: peer } : peer)
  }
  return peers
}

/** What is too large for a dependency of the project. Into the cache folder, once. */
export async function install(): Promise<void> {
  const home = join(cache, 'bench-portkey')
  await mkdir(home, { recursive: true })
  await writeFile(join(home, 'package.json'), '{"private":true}')
  await outputOf(otherCore, ['npm', 'install', '--prefix', home, '--no-audit', '--no-fund', '--ignore-scripts', '@portkey-ai/gateway@1.15.2'])
  const venv = join(cache, 'bench-litellm')
  await outputOf(otherCore, ['python3', '-m', 'venv', venv])
  await outputOf(otherCore, [join(venv, 'bin/pip'), 'install', '--quiet', 'litellm[proxy]'])
}
