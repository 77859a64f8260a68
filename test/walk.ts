import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { freePorts } from './free-ports.ts'

/**
 * Pages, walked as a reader would: each `bash` block in order, in one shell and one folder, and what a `text` block behind it
 * shows is what it has to print (`…` stands for anything). A block with a word behind its language (`bash serve`) is one that a
 * reader gives to another terminal, or that needs what a test has to put in its place: `stands` says how. Other languages are
 * only read.
 */

export type Block = Readonly<{ language: string; name: string; text: string }>

export const blocksOf = (page: string): Block[] => [...page.matchAll(/^```(\w+)(?: (\w+))?.*\n([^]*?)^```/gm)]
  .map(([, language = '', name = '', text = '']) => ({ language, name, text }))

/** What a reader types of the `console` blocks of a page: what is behind each prompt, with the lines that it goes on in. */
export const typedIn = (page: string): string[] => blocksOf(page).filter(({ language }) => language === 'console')
  .flatMap(({ text }) => [...text.matchAll(/^\$ ((?:.*\\\n)*.*)$/gm)].map(([, command = '']) => command))

export type WalkOptions = Readonly<{
  /** The shell's folder. */
  cwd: string
  env?: NodeJS.ProcessEnv
  /** What a reader would have typed where the test's ports, or files, are others. */
  adapt?: (text: string) => string
  /** Done in place of a block of this name. */
  stands?: Readonly<Record<string, (text: string, cwd: string) => Promise<void> | void>>
  /** A command that fails ends the walk. Default true. */
  strict?: boolean
  /** What two texts have in common that say the same. */
  alike?: (text: string) => string
}>

/** @returns what each of the blocks of the shell printed */
export async function walk(t: TestContext, blocks: readonly Block[], options: WalkOptions): Promise<string[]> {
  const { stands = {}, adapt = (text: string) => text, alike = (text: string) => text } = options
  const shell = startShell(t, options)
  const outputs: string[] = []
  for (const { language, name, text } of blocks) {
    if (language === 'text' && name === '') assertPrinted(alike(outputs.at(-1) ?? ''), alike(text))
    if (language !== 'bash') continue
    const stand = stands[name]
    if (stand !== undefined) await stand(adapt(text), options.cwd)
    else {
      assert.equal(name, '', `nothing stands for a block of ${name}`)
      outputs.push((await shell(adapt(text))).replaceAll('\r\n', '\n'))
    }
  }
  return outputs
}

/** But for a last line's end, which a terminal does not show. */
function assertPrinted(printed: string, page: string): void {
  const [output, shown] = [printed.trimEnd(), page.trimEnd()]
  const pattern = shown.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('[^]*')
  if (!new RegExp(`^${pattern}$`).test(output)) assert.equal(output, shown)
}

function startShell(t: TestContext, { cwd, env = process.env, strict = true }: WalkOptions): (text: string) => Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-walk-'))
  const bash = spawn('bash', ['--noprofile', '--norc'], { cwd, env, stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  let out = ''
  let err = ''
  let heard = () => {}
  bash.stdout.setEncoding('utf8').on('data', (text: string) => { out += text; heard() })
  bash.stderr.setEncoding('utf8').on('data', (text: string) => { err = (err + text).slice(-8192) })
  bash.once('exit', () => heard())
  bash.stdin.on('error', () => {})
  t.after(async () => {
    await endGroup(bash)
    rmSync(folder, { recursive: true, force: true })
  })
  if (strict) bash.stdin.write('set -eo pipefail\n')
  // Everything but a mark that no command prints is the block's.
  const mark = '\u0001end of block\u0001'
  return async (text) => {
    const file = join(folder, 'block.sh')
    writeFileSync(file, text)
    out = ''
    err = ''
    bash.stdin.write(`. ${file} < /dev/null; printf '${mark}'\n`)
    while (!out.includes(mark)) {
      assert.equal(bash.exitCode, null, `the shell ended in\n${text}\nwhich printed\n${out}\n${err}`)
      await new Promise<void>((resolve) => { heard = resolve })
    }
    return out.slice(0, out.indexOf(mark))
  }
}

async function endGroup(child: ChildProcess): Promise<void> {
  const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined
  try {
    process.kill(-child.pid!, 'SIGTERM')
  } catch {
    // Gone already, with all that it started.
  }
  const late = setTimeout(() => child.kill('SIGKILL'), 5000)
  await ended
  clearTimeout(late)
}

const root = join(import.meta.dirname, '..')

/** A folder with nothing in it, and `npx modelroute` on the PATH as this repository has it. */
export function emptyFolder(t: TestContext): { cwd: string; bin: string; env: NodeJS.ProcessEnv } {
  const folder = temporary(t)
  const cwd = join(folder, 'reader')
  mkdirSync(cwd)
  const modelroute = `exec '${process.execPath}' '${join(root, 'cli/modelroute.js')}' "$@"`
  program(folder, 'modelroute', modelroute)
  program(folder, 'npx', `[ "$1" = modelroute ] && shift && ${modelroute}`)
  return { cwd, bin: folder, env: first(folder) }
}

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-page-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function program(folder: string, name: string, script: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`)
  chmodSync(join(folder, name), 0o755)
}

const first = (folder: string): NodeJS.ProcessEnv => ({ ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}` })

/**
 * `sleep` as a page means it behind an edit: until the proxy has another table than the last one seen. A machine with other work
 * takes longer than the second that the page writes.
 */
export async function patientSleep(t: TestContext, admin: number, folder = temporary(t)): Promise<NodeJS.ProcessEnv> {
  const url = `http://127.0.0.1:${admin}/table`
  writeFileSync(join(folder, 'table'), await (await fetch(url)).text())
  program(folder, 'sleep', `cd ${folder} || exit
for i in $(seq 600); do
  curl -s ${url} > now
  cmp -s table now || { mv now table; exit 0; }
  /bin/sleep 0.05
done
echo 'the table is as it was' >&2; exit 1`)
  return first(folder)
}

type ServedOptions = { ports?: Readonly<Record<string, number>> } & Pick<WalkOptions, 'stands' | 'alike'>

/** A page whose gateway runs from files. */
export const walkServed = (t: TestContext, page: string, options: ServedOptions = {}) => walkBlocks(t, blocksOf(readFileSync(join(root, page), 'utf8')), options)

/**
 * `bash serve` is the gateway's own terminal, on free ports, and `sleep 1` behind an edit is until the proxy has another table.
 * @param ports what else the blocks name, by the port that they write
 */
export async function walkBlocks(t: TestContext, blocks: readonly Block[], options: ServedOptions = {}): Promise<string[]> {
  const [http = 0, admin = 0, control = 0] = await freePorts(3)
  const ports = { ...options.ports, '8080': http, '9901': admin, '9903': control }
  const adapt = (text: string) => Object.entries(ports).reduce((all, [from, to]) => all.replaceAll(`127.0.0.1:${from}`, `127.0.0.1:${to}`), text)
  const { cwd, bin, env } = emptyFolder(t)
  const own = { MODELROUTE_HOST: '127.0.0.1', MODELROUTE_HTTP_PORT: String(http), MODELROUTE_ADMIN_PORT: String(admin), MODELROUTE_CONTROL_PORT: String(control) }
  let said = ''
  const serve = async (text: string) => {
    const gateway = spawn('bash', ['-c', text], { cwd, env: { ...env, ...own }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    for (const stream of [gateway.stdout, gateway.stderr]) stream.setEncoding('utf8').on('data', (more: string) => { said = (said + more).slice(-3000) })
    t.after(() => endGroup(gateway))
    for (;;) {
      assert.equal(gateway.exitCode, null, said)
      const ready = await fetch(`http://127.0.0.1:${admin}/readyz`).then(({ ok }) => ok, () => false)
      const open = await fetch(`http://127.0.0.1:${http}/`).then(() => true, () => false)
      if (ready && open) break
      await new Promise((resolve) => { setTimeout(resolve, 50) })
    }
    await patientSleep(t, admin, bin)
  }
  return walk(t, blocks, { ...options, cwd, env, adapt, stands: { serve, ...options.stands } }).catch((error: unknown) => {
    t.diagnostic(`what the gateway said last:\n${said}`)
    throw error
  })
}
