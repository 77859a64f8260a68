import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadIssue } from '../controller/certificates/load.ts'
import { packaged } from './packaged.ts'
import { cpuOf, endAll, otherCore, proxyCore, said, start } from './processes.ts'
import { median } from './report.ts'

/**
 * `npm run bench:sidecar [-- ROUNDS]`: what a sidecar takes while nothing happens, and how long until it is ready, of the
 * compiled package: client and server, with nothing compiled before (as in a container that was just made) and with it.
 */
const rounds = Number(process.argv[2] ?? 5)
/** Milliseconds in which V8 gives back what the start left behind. */
const settle = 5_000

const folder = mkdtempSync(join(tmpdir(), 'bench-sidecar-'))
const at = (name: string) => join(folder, name)
const program = at('package/cli/modelroute.js')
type Listening = Readonly<{ name: string; url: string }>

async function certificates(): Promise<void> {
  const { issueAuthority, issueServer, issueSidecar } = await loadIssue()
  const now = new Date()
  const pair = await issueAuthority('bench', now)
  const authority = { pair, certificate: new X509Certificate(pair.cert), key: createPrivateKey(pair.key), trusted: pair.cert }
  const write = (name: string, { cert, key }: typeof pair) => {
    writeFileSync(at(`${name}.crt`), cert)
    writeFileSync(at(`${name}.key`), key)
  }
  write('ca', pair)
  write('controller', await issueServer(authority, ['localhost'], now))
  write('sidecar', await issueSidecar(authority, 'sidecar', 'ml', now))
}

/** The flags of a channel's end. */
const tls = (name: string) => ['--tls-cert', at(`${name}.crt`), '--tls-key', at(`${name}.key`), '--client-ca', at('ca.crt')]

async function probe(flags: readonly string[], cache: string) {
  const began = performance.now()
  const sidecar = start(proxyCore, [
    process.execPath, program, 'sidecar', ...tls('sidecar'), '--host', '127.0.0.1', '--http-port', '0', '--health-port', '0', '--admin-port', '0', ...flags,
  ], { XDG_CACHE_HOME: cache })
  const health = await said<Listening>(sidecar, ({ name }) => name === 'health')
  if (health === undefined) throw new Error('it did not start')
  while (!(await fetch(`${health.url}/readyz`)).ok) await sleep(5)
  const ready = performance.now() - began
  // What else runs on the machine makes a start longer, and not this.
  const cpu = await cpuOf(sidecar.pid) / 1000
  sidecar.discard()
  await sleep(settle)
  const text = readFileSync(`/proc/${sidecar.pid}/smaps_rollup`, 'utf8')
  const of = (name: string) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)?.[1]) / 1024
  const [rss, pss, own] = [of('Rss'), of('Pss'), of('Anonymous')] as const
  const ended = once(sidecar.child, 'exit')
  sidecar.child.kill('SIGTERM')
  await ended
  return { ready, cpu, rss, pss, own }
}

const model = createServer((socket) => socket.destroy())
try {
  packaged(at('package'))
  await certificates()
  mkdirSync(at('routes'))
  copyFileSync(join(import.meta.dirname, '../examples/sidecar/model-server.yaml'), at('routes/model-server.yaml'))
  model.listen(0, '127.0.0.1')
  await once(model, 'listening')
  const address = model.address()
  const port = typeof address === 'object' ? address?.port ?? 0 : 0
  const controller = start(otherCore, [
    process.execPath, program, 'controller', '-f', at('routes'), '--host', '127.0.0.1', '--push-port', '0', '--control-port', '0', ...tls('controller'), '--sidecar-namespace', 'ml', '--log-level', 'error',
  ])
  const push = await said<Listening>(controller, ({ name }) => name === 'push')
  controller.discard()
  const modes = {
    client: ['--fleet', 'https://localhost:1'],
    server: ['--inject-mode', 'server', '--inject-port', String(port), '--inject-service', 'fraud', '--gateway', 'guard', '--controller', (push?.url ?? '').replace('127.0.0.1', 'localhost')],
  }
  console.log(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores; Node ${process.version}; medians of ${rounds}\n`)
  console.log('| sidecar | ready ms | at best | CPU ms until then | RSS MiB | PSS MiB | its own MiB |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |')
  for (const [mode, flags] of Object.entries(modes)) {
    for (const kept of [false, true]) {
      // What was compiled is written some seconds after a start.
      if (kept) await probe(flags, at('compiled'))
      const probes: Awaited<ReturnType<typeof probe>>[] = []
      for (let round = 0; round < rounds; round++) probes.push(await probe(flags, kept ? at('compiled') : at(`new-${mode}-${round}`)))
      const all = (key: keyof (typeof probes)[number]) => probes.map((one) => one[key])
      const cells = [median(all('ready')).toFixed(0), Math.min(...all('ready')).toFixed(0), median(all('cpu')).toFixed(0), ...(['rss', 'pss', 'own'] as const).map((key) => median(all(key)).toFixed(1))]
      console.log(`| ${mode}, ${kept ? 'compiled before' : 'first start'} | ${cells.join(' | ')} |`)
    }
  }
} finally {
  model.close()
  await endAll()
  rmSync(folder, { recursive: true, force: true })
}
