// A program with a log file, that can be killed and started again, and that never outlives the test process.
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const running = new Set<ChildProcess>()
const folders: string[] = []
let armed = false
let leashed: boolean | undefined

/** Kills what is left when this process ends, however it ends, and keeps the logs of a failed run. */
function arm(): void {
  if (armed) return
  armed = true
  process.on('exit', (code) => {
    for (const child of running) child.kill('SIGKILL')
    for (const folder of folders) {
      // Retried, since what was killed a moment ago may still write.
      const options = { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }
      if (code === 0 && !process.env.MODELROUTE_KEEP) rmSync(folder, options)
      else if (existsSync(folder)) process.stderr.write(`logs are kept in ${folder}\n`)
    }
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))
}

/** A folder removed when the process ends well, kept and named when it does not. */
export function temporaryFolder(name: string): string {
  arm()
  const folder = mkdtempSync(join(tmpdir(), `modelroute-${name}-`))
  folders.push(folder)
  return folder
}

/** Registers a child started elsewhere, so that it dies with this process. */
export function adopt(child: ChildProcess): void {
  arm()
  running.add(child)
  child.once('exit', () => running.delete(child))
}

/** Words before a command that make the kernel kill it should this process be killed without a chance to. */
function leash(): string[] {
  const words = ['setpriv', '--pdeathsig', 'KILL']
  leashed ??= spawnSync('setpriv', [...words.slice(1), 'true']).status === 0
  return leashed ? words : []
}

type Program = Readonly<{
  name: string
  command: string
  args: readonly string[]
  log: string
  env?: NodeJS.ProcessEnv
}>

/** One program: started, killed and started again with the same arguments. */
export class Process {
  readonly name: string
  readonly log: string
  #program: Program
  #child: ChildProcess | undefined
  #wanted = false

  constructor(program: Program) {
    this.#program = program
    this.name = program.name
    this.log = program.log
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get running(): boolean {
    return this.#child !== undefined
  }

  /** Starts it; a program that ends unasked says so on stderr with the end of its log. */
  start(): void {
    if (this.#child) return
    const { env } = this.#program
    const [command = '', ...args] = [...leash(), this.#program.command, ...this.#program.args]
    const log = openSync(this.log, 'a')
    const child = spawn(command, args, { stdio: ['ignore', log, log], env: env ?? process.env })
    closeSync(log)
    adopt(child)
    this.#child = child
    this.#wanted = true
    const ended = (how: string) => {
      if (this.#child === child) this.#child = undefined
      if (this.#wanted) process.stderr.write(`${this.name} ended by itself (${how}):\n${this.tail()}\n`)
    }
    child.once('error', (error) => ended(error.message))
    child.once('exit', (code, signal) => ended(signal ?? `exit code ${code}`))
  }

  /** Sends the signal and resolves when the program is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    this.#wanted = false
    if (!child) return
    await new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      child.kill(signal)
    })
  }

  /** The last lines of its log. */
  tail(lines = 30): string {
    const text = existsSync(this.log) ? readFileSync(this.log, 'utf8') : ''
    return text.trimEnd().split('\n').slice(-lines).join('\n')
  }
}
