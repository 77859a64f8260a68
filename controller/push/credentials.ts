import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { pemFault } from '../../table/pem.ts'
import type { Log } from '../log.ts'

/** Files in PEM. `clientCa` is what a proxy's certificate must be signed by. */
export type TlsFiles = Readonly<{ cert: string; key: string; clientCa?: string | undefined }>

/** PEM. */
export type Credentials = Readonly<{ cert: string; key: string; ca?: string }>

/** Where the push port's certificate comes from, and the next one before it is over. */
export type CredentialSource = Readonly<{
  /** Whether proxies are asked for a certificate: `ca` is then always there. */
  mutual: boolean
  /** Resolves with the first, however long that takes; `onChange` hears of each later one, never in the same turn. */
  start(onChange: (next: Credentials) => void): Promise<Credentials>
  /** A start that is still waiting rejects. */
  close(): void
}>

/** Reads the files, and refuses what a TLS server could not use (half-written, or a key of another certificate). */
async function readCredentials(files: TlsFiles): Promise<Credentials> {
  const [cert, key, ca] = await Promise.all([
    readFile(files.cert, 'utf8'),
    readFile(files.key, 'utf8'),
    files.clientCa === undefined ? undefined : readFile(files.clientCa, 'utf8'),
  ])
  const fault = pemFault(files, { cert, key, clientCa: ca })
  if (fault !== undefined) throw new Error(fault)
  const credentials = { cert, key, ...(ca !== undefined && { ca }) }
  createSecureContext(credentials)
  return credentials
}

/**
 * Files that may be replaced. It polls: a Secret is mounted behind two symbolic links that are swapped, which file
 * watching misses on some file systems.
 */
export function fileCredentials(files: TlsFiles, everyMs: number, log: Log): CredentialSource {
  let last: Credentials | undefined
  let told: string | undefined
  let busy = false
  let timer: NodeJS.Timeout | undefined
  let closed = false

  async function look(onChange: (next: Credentials) => void): Promise<void> {
    try {
      const next = await readCredentials(files)
      told = undefined
      if (next.cert === last?.cert && next.key === last.key && next.ca === last.ca) return
      last = next
      if (!closed) onChange(next)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      if (why !== told) log('error', 'push: certificate files cannot be used; the last ones stay', { why })
      told = why
    }
  }

  return {
    mutual: files.clientCa !== undefined,
    async start(onChange) {
      last = await readCredentials(files)
      if (closed) return last
      timer = setInterval(() => {
        if (busy) return
        busy = true
        void look(onChange).finally(() => (busy = false))
      }, everyMs).unref()
      return last
    },
    close() {
      closed = true
      clearInterval(timer)
    },
  }
}
