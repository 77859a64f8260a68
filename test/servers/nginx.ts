// A real nginx on a free port of loopback, installed where it is missing, until the test ends.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Process, temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { freePorts } from '../free-ports.ts'
import { ensurePackage } from './debian.ts'

export type Nginx = Readonly<{
  port: number
  /** A line for each request that it has finished: its status, and what the server behind it says to have seen. */
  log: () => readonly (readonly [status: string, seen: string])[]
  stop(): Promise<void>
}>

/** nginx in front of another server, whole requests only: what it sends on is what it has read. */
export async function startNginx(behind: number): Promise<Nginx> {
  const program = await ensurePackage('/usr/sbin/nginx', 'nginx-light')
  const folder = temporaryFolder('nginx')
  const [port = 0] = await freePorts(1)
  const log = join(folder, 'access.log')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(folder, name)};`).join(' ')
  writeFileSync(join(folder, 'nginx.conf'), `
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off; worker_processes 1; pid ${join(folder, 'nginx.pid')}; error_log ${join(folder, 'error.log')};
    events { worker_connections 1024; }
    http {
      ${temporary}
      log_format seen '$status|$upstream_http_x_seen';
      access_log ${log} seen;
      large_client_header_buffers 4 64k; proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass http://127.0.0.1:${behind}; proxy_http_version 1.1; proxy_set_header Connection ''; }
      }
    }`)
  const nginx = new Process({
    name: 'nginx', command: program, log: join(folder, 'output.log'), args: ['-p', folder, '-c', join(folder, 'nginx.conf')],
  })
  nginx.start()
  await until('nginx to answer', async () => {
    if (!nginx.running) throw new Error('nginx is not running')
    return (await fetch(`http://127.0.0.1:${port}/ready`)).ok
  }, { timeout: 10_000, every: 20, describe: () => nginx.tail() })
  return {
    port,
    log: () => readFileSync(log, 'utf8').trimEnd().split('\n').map((line) => {
      const mark = line.indexOf('|')
      return [line.slice(0, mark), line.slice(mark + 1)] as const
    }),
    stop: () => nginx.kill('SIGTERM'),
  }
}
