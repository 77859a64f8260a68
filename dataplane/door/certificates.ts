import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { pemFault } from '../../table/pem.ts'

/** Files in PEM. `clientCa`: clients must show a certificate that it signed. */
export type CertificateFiles = Readonly<{ cert: string; key: string; clientCa?: string | undefined }>

type Say = (level: 'info' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void

export type Certificate = Readonly<{ options: SecureContextOptions; context: SecureContext }>

/** The certificate that files hold, followed as they are replaced. */
export type FileCertificate = Readonly<{
  current(): Certificate
  /** Called with each later one. */
  onChange(listener: (next: Certificate) => void): void
  close(): void
}>

/** TLS 1.2 at least, and of its ciphers those with forward secrecy and authenticated encryption (RFC 9325 section 4.2). */
export const tlsFloor = {
  minVersion: 'TLSv1.2',
  ciphers: [
    'TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305',
  ].join(':'),
} as const satisfies SecureContextOptions

async function load(files: CertificateFiles): Promise<Certificate> {
  const { cert, key, clientCa } = files
  const [certPem, keyPem, ca] = await Promise.all([
    readFile(cert, 'utf8'),
    readFile(key, 'utf8'),
    clientCa === undefined ? undefined : readFile(clientCa, 'utf8'),
  ])
  const fault = pemFault(files, { cert: certPem, key: keyPem, clientCa: ca })
  if (fault !== undefined) throw new Error(fault)
  const options = { ...tlsFloor, cert: certPem, key: keyPem, ...(ca !== undefined && { ca }) }
  return { options, context: createSecureContext(options) }
}

/**
 * Rejects where the files cannot be used at the start; what is wrong with later ones is logged, and the last good ones
 * stay. It polls: a mounted Secret is behind two symbolic links that are swapped, which watching misses.
 */
export async function followCertificate(files: CertificateFiles, say: Say, everyMs = 1000): Promise<FileCertificate> {
  let current = await load(files)
  let told: string | undefined
  let busy = false
  const listeners: ((next: Certificate) => void)[] = []

  async function look(): Promise<void> {
    try {
      const next = await load(files)
      told = undefined
      const { cert, key, ca } = current.options
      if (next.options.cert === cert && next.options.key === key && next.options.ca === ca) return
      current = next
      for (const listener of listeners) listener(next)
      say('info', 'a new certificate is in force', { file: files.cert })
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      if (why !== told) say('error', 'certificate files cannot be used; the last ones stay', { file: files.cert, why })
      told = why
    }
  }

  const timer = setInterval(() => {
    if (busy) return
    busy = true
    void look().finally(() => { busy = false })
  }, everyMs).unref()
  return {
    current: () => current,
    onChange: (listener) => { listeners.push(listener) },
    close: () => clearInterval(timer),
  }
}
