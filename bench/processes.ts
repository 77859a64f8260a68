import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { access, constants, readdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'

/** The core of the proxy measured, and the one of everything else. */
export const proxyCore = 0
export const otherCore = 1

export const cache = process.env['MODELROUTE_CACHE'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'modelroute')

const running = new Set<ChildProcess>()

export type Started = Readonly<{ pid: number; child: ChildProcess; lines: AsyncIterator<string>; discard: () => void }>

/** Starts a program on one core; it ends with this process at the latest. */
export function start(core: number, command: readonly string[], env: NodeJS.ProcessEnv = {}): Started {
  const child = spawn('taskset', ['-c', String(core), ...command], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  const reader = createInterface({ input: child.stdout })
  const lines = reader[Symbol.asyncIterator]()
  const discard = (): void => {
    reader.close()
    child.stdout.removeAllListeners('data').resume()
  }
  return { pid: child.pid ?? 0, child, lines, discard }
}

/** Ends what was started, and waits for it. */
export async function endAll(): Promise<void> {
  await Promise.all([...running].map(async (child) => {
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), 3000)
    await ended
    clearTimeout(timer)
  }))
}

process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** What one of the programs of this folder says: they are trusted to say it in the form agreed on. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion, typescript/no-unnecessary-type-parameters
export const parsed = <T>(text: string): T => JSON.parse(text) as T

/** The next line of JSON that satisfies; undefined when the program ends first. */
export async function said<T>({ lines }: Started, satisfies: (line: T) => boolean = () => true): Promise<T | undefined> {
  for (;;) {
    const { value, done } = await lines.next()
    if (done) return undefined
    if (!value.startsWith('{')) continue
    const line = parsed<T>(value)
    if (satisfies(line)) return line
  }
}

/** One job of a program that ends by itself. */
export async function outputOf(core: number, command: readonly string[]): Promise<string> {
  const child = spawn('taskset', ['-c', String(core), ...command], { stdio: ['ignore', 'pipe', 'inherit'] })
  running.add(child)
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const [code] = await once(child, 'close')
  running.delete(child)
  if (code !== 0) throw new Error(`${command.slice(0, 3).join(' ')} ended with ${code}`)
  return text
}

export async function onPath(name: string): Promise<string | undefined> {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin']) {
    const file = join(folder, name)
    if (folder && await access(file, constants.X_OK).then(() => true, () => false)) return file
  }
  return undefined
}

/** A process and its descendants. */
async function family(pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => [])
  const lists = await Promise.all(tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'utf8').catch(() => '')))
  const children = lists.join(' ').split(' ').filter((each) => each !== '').map(Number)
  return [pid, ...(await Promise.all(children.map(family))).flat()]
}

/** CPU time of a process and its descendants in µs, all threads, the kernel's work for them included. */
export async function cpuOf(pid: number): Promise<number> {
  let ns = 0
  for (const each of await family(pid)) {
    for (const task of await readdir(`/proc/${each}/task`).catch(() => [])) {
      ns += Number((await readFile(`/proc/${each}/task/${task}/schedstat`, 'utf8').catch(() => '0')).split(' ')[0])
    }
  }
  return ns / 1000
}

/** Memory of a process and its descendants in MiB. */
export async function rssOf(pid: number): Promise<number> {
  let kib = 0
  for (const each of await family(pid)) {
    const status = await readFile(`/proc/${each}/status`, 'utf8').catch(() => '')
    kib += Number(/^VmRSS:\s+(?<kib>\d+)/m.exec(status)?.groups?.['kib'] ?? 0)
  }
  return kib / 1024
}
