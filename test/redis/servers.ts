import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { freePorts } from '../free-ports.ts'

/** Real Redis servers, each on free ports of this machine and with a folder of its own. */

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export type Server = Readonly<{
  port: number
  url: string
  /** Asks it something over a connection of its own. */
  ask(...words: readonly string[]): Promise<string>
  /** How many units a FixedWindow has counted here, also where this is a replica. */
  used(key: string): Promise<number>
  signal(name: NodeJS.Signals): void
  end(): Promise<void>
}>

/** The second of three cells (algorithms.lua.ts). */
const script = "return tostring(({struct.unpack('<ddd', redis.call('GET', KEYS[1]))})[2])"

/** @param settings lines of redis.conf as arguments, such as `['--maxmemory', '10mb']` */
export async function startRedis(settings: readonly string[] = [], { port, file, auth, start: [program, ...before] = ['redis-server'] }: {
  port?: number
  /** Where it keeps its settings; a sentinel must. */
  file?: string
  /** Another one than what is installed. */
  start?: readonly [string, ...string[]]
  /** With what `ask` says who it is. */
  auth?: readonly string[]
} = {}): Promise<Server> {
  const at = port ?? (await freePorts(1))[0] ?? 0
  const folder = await mkdtemp(join(tmpdir(), 'modelroute-redis-'))
  const child = spawn(program, [...before, ...(file === undefined ? [] : [file]), '--port', String(at), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no', '--daemonize', 'no', ...settings], { stdio: ['ignore', 'pipe', 'inherit'] })
  running.add(child)
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  const ended = once(child, 'exit').then(() => running.delete(child))
  const answer = (...words: readonly string[]) => ask(at, [...(auth === undefined ? [] : [['AUTH', ...auth]]), words])
  const server: Server = {
    port: at,
    url: `redis://127.0.0.1:${at}`,
    ask: answer,
    async used(key) {
      // A server that has no turn says nothing for a while.
      let units = Number.NaN
      await until(async () => {
        units = Number((await ask(at, [['READONLY'], ['EVAL_RO', script, '1', key]])).split('\r\n').at(-1))
        return !Number.isNaN(units)
      })
      return units
    },
    signal: (name) => void child.kill(name),
    async end() {
      child.kill('SIGKILL')
      await ended
      await rm(folder, { recursive: true, force: true })
    },
  }
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`redis-server ended: ${said.slice(-500)}`)
    return /Ready to accept connections|Sentinel ID is/.test(said)
  })
  return server
}

/**
 * The URL of a server that may take its time: a machine that is busy with other things must not make an outage of it.
 * Without this, limits wait for as long as a request can afford.
 */
export const patient = (url: string): string => `${url}${url.includes('?') ? '&' : '?'}patience=10000ms`

/** The answers to commands as text, errors too. */
async function ask(port: number, commands: readonly (readonly string[])[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  const end = '+PONG\r\n'
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    if (text.endsWith(end)) socket.destroy()
  })
  for (const words of [...commands, ['PING']]) {
    socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`)
  }
  socket.setTimeout(3000, () => socket.destroy())
  await once(socket, 'close')
  return text.slice(0, -end.length).trimEnd()
}

/** Waits for what is so sooner or later. */
export async function until(holds: () => boolean | Promise<boolean>, within = 20_000): Promise<void> {
  const end = performance.now() + within
  while (!await holds()) {
    if (performance.now() > end) throw new Error(`not so within ${within} ms: ${holds.toString()}`)
    await pause(20)
  }
}

/**
 * Three masters, each with a replica if asked for, that share the slots. No node is ever taken for dead: a machine with
 * other things to do would have them elect others all the time. Who wants a replica to take over tells it.
 */
export async function startCluster(replicas = 0): Promise<{ url: string; servers: readonly Server[]; masterOf(tag: string): Promise<Server>; replicaOf(tag: string): Promise<Server>; end(): Promise<void> }> {
  const count = 3 + 3 * replicas
  // The bus of a node is on another port, which has to be free as well.
  const ports = await freePorts(2 * count)
  const servers = await Promise.all(Array.from({ length: count }, (_, i) => startRedis(
    ['--cluster-enabled', 'yes', '--cluster-node-timeout', '60000', '--cluster-port', String(ports[count + i]), '--repl-diskless-sync-delay', '0'],
    { port: ports[i] ?? 0 })))
  const [first] = servers
  for (const [i, server] of servers.slice(0, 3).entries()) {
    await server.ask('CLUSTER', 'ADDSLOTSRANGE', String(Math.ceil((i * 16_384) / 3)), String(Math.ceil(((i + 1) * 16_384) / 3) - 1))
  }
  for (const [i, server] of servers.entries()) {
    await server.ask('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
    if (i > 0) await first?.ask('CLUSTER', 'MEET', '127.0.0.1', String(server.port), String(ports[count + i]))
  }
  await until(async () => (await Promise.all(servers.map((server) => server.ask('CLUSTER', 'NODES')))).every((text) => text.split('\n').filter((line) => / connected/.test(line)).length === count))
  for (const [i, server] of servers.slice(3).entries()) {
    const id = (await servers[i % 3]?.ask('CLUSTER', 'MYID') ?? '').split('\r\n')[1] ?? ''
    await until(async () => (await server.ask('CLUSTER', 'REPLICATE', id)).startsWith('+OK'))
  }
  await until(async () => (await Promise.all(servers.map((server) => server.ask('CLUSTER', 'INFO')))).every((text) => text.includes('cluster_state:ok')))
  if (replicas > 0) await until(async () => (await Promise.all(servers.slice(3).map((server) => server.ask('INFO', 'replication')))).every((text) => text.includes('master_link_status:up')))
  const partOf = async (tag: string) => Math.floor((Number((await first?.ask('CLUSTER', 'KEYSLOT', tag) ?? '').slice(1)) * 3) / 16_384)
  return {
    url: `redis+cluster://${servers.slice(0, 3).map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    servers,
    masterOf: async (tag) => servers[await partOf(tag)] ?? servers[0]!,
    replicaOf: async (tag) => servers[3 + await partOf(tag)] ?? servers[0]!,
    async end() {
      await Promise.all(servers.map((server) => server.end()))
    },
  }
}
