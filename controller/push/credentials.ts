import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'

/** Files in PEM. `clientCa` is what a proxy's certificate must be signed by. */
export type TlsFiles = Readonly<{ cert: string; key: string; clientCa?: string | undefined }>

export type Credentials = Readonly<{ cert: Buffer; key: Buffer; ca?: Buffer }>

/** Reads the files, and refuses what a TLS server could not use (half-written, or a key of another certificate). */
export async function readCredentials(files: TlsFiles): Promise<Credentials> {
  const [cert, key, ca] = await Promise.all([
    readFile(files.cert),
    readFile(files.key),
    files.clientCa === undefined ? undefined : readFile(files.clientCa),
  ])
  const credentials = { cert, key, ...(ca && { ca }) }
  createSecureContext(credentials)
  return credentials
}

/**
 * Calls `onChange` with new content. It polls: a Secret is mounted behind two symbolic links that are swapped, which
 * file watching misses on some file systems.
 */
export function watchCredentials(
  files: TlsFiles,
  current: Credentials,
  everyMs: number,
  onChange: (next: Credentials) => void,
  onError: (why: string) => void,
): { close(): void } {
  let last = current
  let told: string | undefined
  let busy = false
  const same = (a?: Buffer, b?: Buffer) => a === b || (a !== undefined && b !== undefined && a.equals(b))

  async function look(): Promise<void> {
    try {
      const next = await readCredentials(files)
      told = undefined
      if (same(next.cert, last.cert) && same(next.key, last.key) && same(next.ca, last.ca)) return
      last = next
      onChange(next)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      if (why !== told) onError(why)
      told = why
    }
  }

  const timer = setInterval(() => {
    if (busy) return
    busy = true
    void look().finally(() => (busy = false))
  }, everyMs).unref()
  return { close: () => clearInterval(timer) }
}
