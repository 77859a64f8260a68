import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Log } from '../log.ts'
import type { Identify } from './access.ts'

/** Bytes of a token that is made here, and characters of one that is brought. */
const SIZE = 32
const LEAST = 16

export type FileTokenOptions = Readonly<{
  /** `--console-token-file`: read again with each try, so that it may be replaced. */
  file?: string | undefined
  /** Where one is made and kept, where none is brought. */
  stateDir?: string | undefined
  log: Log
}>

/** Over files there are no identities: whoever can read the token gives commands. Throws where there can be none. */
export async function fileToken({ file, stateDir, log }: FileTokenOptions): Promise<Identify> {
  const path = file ?? (stateDir === undefined ? undefined : join(stateDir, 'console-token'))
  if (path === undefined) throw new Error('--console-actions needs a token: --console-token-file FILE, or --state-dir DIR to make one in')
  if (file === undefined) await make(path, log)
  await tokenIn(path)
  return async (given) => {
    const digest = await tokenIn(path).catch(() => undefined)
    if (digest === undefined) return { status: 503, error: 'the token cannot be read' }
    return timingSafeEqual(digest, digestOf(given)) ? { name: 'token' } : { status: 401, error: 'that token is not the one' }
  }
}

async function make(path: string, log: Log): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const token = `${randomBytes(SIZE).toString('base64url')}\n`
  await writeFile(path, token, { mode: 0o600, flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  // One from before may have been copied here with the rights of others.
  if (((await stat(path)).mode & 0o077) !== 0) await chmod(path, 0o600)
  log('info', 'the console takes commands with the token in this file', { file: path })
}

async function tokenIn(path: string): Promise<Buffer> {
  const token = (await readFile(path, 'utf8')).trim()
  if (token.length < LEAST) throw new Error(`${path}: a token has ${LEAST} characters at least`)
  return digestOf(token)
}

const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest()
