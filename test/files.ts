import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { basename, relative } from 'node:path'

export type FilesOptions = Readonly<{
  /** Seconds for each file: Node's limit is one of tests, and a file that never ends has none. */
  limit: number
  /** How many run at once. What they say is shown file by file. */
  atOnce?: number
  /**
   * They measure time. One that fails is tried once more: whatever else the machine did is in what was measured, and what
   * is too slow by itself is so again. The first try is shown, and not counted.
   */
  timed?: boolean
  /** What is said where a program fell that is not ours. A file that failed and said so is tried once more as well. */
  notOurs?: RegExp
  /** The command for a file, where that is not `node --test FILE`. */
  command?: (file: string) => readonly [string, ...string[]]
  /** Told of each that has ended. @returns whether it went well */
  ended?: (file: string, code: number | null) => boolean
}>

/** So that a test that hangs is named, before its file is ended. */
export const namingWhatHangs = (limit: number) => `--test-timeout=${(limit - 5) * 1000}`
/** Milliseconds from being asked to end to being ended. */
const grace = 5000

const running = new Set<ChildProcess>()
/** It has a group of its own, with all that it started. */
const signal = ({ pid }: ChildProcess, name: NodeJS.Signals) => {
  try {
    if (pid !== undefined) process.kill(-pid, name)
  } catch {
    // Gone already.
  }
}
process.once('exit', () => running.forEach((child) => signal(child, 'SIGKILL')))
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    running.forEach((child) => signal(child, 'SIGTERM'))
    setTimeout(() => process.exit(1), grace / 2)
  })
}

/** With these before all others, by their names: what takes longest is not to begin last. */
export function longestFirst(files: readonly string[], names: readonly string[]): string[] {
  const place = (file: string) => {
    const at = names.indexOf(basename(file, '.e2e.ts'))
    return at < 0 ? names.length : at
  }
  return files.toSorted((a, b) => place(a) - place(b))
}

/** Runs files of tests, each by itself, and says how long each took. @returns whether all went well */
export async function runFiles(files: readonly string[], options: FilesOptions): Promise<boolean> {
  const waiting = [...files]
  const took: (readonly [seconds: number, file: string])[] = []
  let well = true
  await Promise.all(Array.from({ length: Math.min(options.atOnce ?? 1, files.length) }, async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const began = performance.now()
      if (!await one(file, options)) well = false
      took.push([(performance.now() - began) / 1000, file])
    }
  }))
  if (took.length > 0) console.log(`\nseconds\n${took.sort(([a], [b]) => b - a).map(([seconds, file]) => `${seconds.toFixed(1).padStart(7)}  ${relative('.', file)}`).join('\n')}`)
  return well
}

async function one(file: string, options: FilesOptions): Promise<boolean> {
  const { ended = (_, code) => code === 0 } = options
  let { code, said } = await run(file, options)
  const why = options.timed === true ? 'which measures time' : options.notOurs?.exec(said)?.[0]
  if (code !== 0 && code !== null && why !== undefined) {
    console.log(`\n${relative('.', file)}, ${why}, failed, and is tried again:\n${said.replaceAll(/^/gm, '| ')}`);
    ({ code, said } = await run(file, options))
  }
  process.stdout.write(said)
  return ended(file, code)
}

/** @returns how it ended, and what it said as far as that is not on the screen yet */
async function run(file: string, { limit, atOnce = 1, timed = false, command }: FilesOptions): Promise<{ code: number | null; said: string }> {
  const name = relative('.', file)
  const seen = atOnce === 1 && !timed
  const [program, ...args] = command?.(file) ?? [process.execPath, '--test', namingWhatHangs(limit), file]
  const stdio: StdioOptions = ['ignore', seen ? 'inherit' : 'pipe', seen ? 'inherit' : 'pipe']
  const child = spawn(program, args, { stdio, detached: true })
  running.add(child)
  const said = seen ? [] : [`\n${name}\n`]
  if (seen) console.log(`\n${name}`)
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (chunk: string) => said.push(chunk))
  let late = false
  const timer = setTimeout(() => {
    late = true
    signal(child, 'SIGTERM')
    setTimeout(() => signal(child, 'SIGKILL'), grace).unref()
  }, limit * 1000)
  // What it started and left holds its output; it does not matter any more.
  const code = await new Promise<number | null>((resolve) => {
    child.once('exit', (status) => setTimeout(resolve, seen ? 0 : 200, status)).once('close', resolve).once('error', () => resolve(null))
  })
  clearTimeout(timer)
  running.delete(child)
  signal(child, 'SIGKILL')
  if (late) said.push(`✖ ${name} was not over after ${limit} seconds\n`)
  return { code: late ? null : code, said: said.join('') }
}
