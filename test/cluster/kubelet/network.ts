// A Pod's network: a namespace of its own, held by a process that only sleeps, with one veth pair to the bridge.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { bridge } from '../netns.ts'
import { adopt } from '../process.ts'

let last = 0

export class Network {
  readonly ip: string
  #pause: ChildProcess

  private constructor(ip: string, pause: ChildProcess) {
    this.ip = ip
    this.#pause = pause
  }

  /** Resolves with the address reachable from the test and from every other Pod. */
  static async create(): Promise<Network> {
    last += (last & 255) === 254 ? 3 : 1
    const number = last
    const ip = `10.77.${1 + (number >> 8)}.${number & 255}`
    const inside = [
      'ip link set lo up',
      // Container runtimes let a process without privileges bind port 80.
      'echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start',
      'echo made',
      'read -r wired',
      `ip addr add ${ip}/16 dev eth0`,
      'ip link set eth0 up',
      'ip route add default via 10.77.0.1',
      'echo up',
      'exec sleep infinity',
    ].join(' && ')
    const pause = spawn('unshare', ['--net', 'sh', '-c', inside], { stdio: ['pipe', 'pipe', 'pipe'] })
    adopt(pause)
    const stderr: Buffer[] = []
    pause.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
    const heard = async () => {
      const [what] = await Promise.race([once(pause.stdout, 'data'), once(pause, 'exit')]) as [unknown]
      if (!Buffer.isBuffer(what)) throw new Error(`cannot make a Pod's network: ${Buffer.concat(stderr).toString()}`)
    }
    try {
      await heard()
      await wire(`veth${number}`, pause.pid!)
      pause.stdin.end('wired\n')
      await heard()
      return new Network(ip, pause)
    } catch (error) {
      pause.kill('SIGKILL')
      throw error
    }
  }

  /** The command words that run what follows them inside. */
  get enter(): string[] {
    return ['nsenter', `--net=/proc/${this.#pause.pid}/ns/net`]
  }

  /** The namespace, and with it the veth pair, goes with its last process. */
  destroy(): void {
    this.#pause.kill('SIGKILL')
  }
}

/** Puts one end of a new pair on the bridge, the other as eth0 into the process's namespace. */
async function wire(port: string, pid: number): Promise<void> {
  await ipCommand(['link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `${pid}`])
  await ipCommand(['link', 'set', port, 'master', bridge, 'up'])
}

async function ipCommand(args: string[]): Promise<void> {
  const child = spawn('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const stderr: Buffer[] = []
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  const [code] = await once(child, 'close') as [number]
  if (code !== 0) throw new Error(`ip ${args.join(' ')}: ${Buffer.concat(stderr).toString()}`)
}
