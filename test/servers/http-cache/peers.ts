// nginx and Varnish as caches in front of a server, of Debian, on free ports of loopback.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Process, temporaryFolder } from '../../cluster/process.ts'
import { until } from '../../cluster/wait.ts'
import { ensurePackage } from '../debian.ts'
import { freePorts } from '../../free-ports.ts'

export type Peer = Readonly<{ base: string; stop(): Promise<void> }>

async function answering(name: string, process: Process, port: number): Promise<Peer> {
  process.start()
  await until(`${name} to answer`, async () => {
    if (!process.running) throw new Error(`${name} is not running`)
    return (await fetch(`http://127.0.0.1:${port}/state/none`)).status > 0
  }, { timeout: 20_000, every: 50, describe: () => process.tail() })
  return { base: `http://127.0.0.1:${port}`, stop: () => process.kill('SIGTERM') }
}

/** With a cache as the suite itself sets it up: what is old is confirmed by its origin. */
export async function startCachingNginx(behind: number): Promise<Peer> {
  const program = await ensurePackage('/usr/sbin/nginx', 'nginx-light')
  const folder = temporaryFolder('nginx-cache')
  const [port = 0] = await freePorts(1)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${join(folder, name)};`).join(' ')
  writeFileSync(join(folder, 'nginx.conf'), `
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off; worker_processes 1; pid ${join(folder, 'nginx.pid')}; error_log ${join(folder, 'error.log')};
    events { worker_connections 1024; }
    http {
      ${temporary}
      access_log off;
      proxy_cache_path ${join(folder, 'cache')} levels=1:2 keys_zone=one:8m max_size=1000m inactive=600m;
      server {
        listen 127.0.0.1:${port};
        location / { proxy_pass http://127.0.0.1:${behind}; proxy_cache one; proxy_cache_revalidate on; }
      }
    }`)
  return answering('nginx', new Process({ name: 'nginx', command: program, log: join(folder, 'output.log'), args: ['-p', folder, '-c', join(folder, 'nginx.conf')] }), port)
}

/** As it comes: the rules that are built in. */
export async function startVarnish(behind: number): Promise<Peer> {
  const program = await ensurePackage('/usr/sbin/varnishd', 'varnish')
  const folder = temporaryFolder('varnish')
  const [port = 0] = await freePorts(1)
  return answering('Varnish', new Process({
    name: 'varnish', command: program, log: join(folder, 'output.log'),
    args: ['-F', '-n', join(folder, 'work'), '-a', `127.0.0.1:${port}`, '-b', `127.0.0.1:${behind}`, '-s', 'malloc,64m', '-j', 'none'],
  }), port)
}
