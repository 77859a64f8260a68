import type { SecureContextOptions, SecureContext } from 'node:tls'
import type { Active } from '../store.ts'
import type { FileCertificate } from './certificates.ts'
import { createNames } from './names.ts'

type Say = Parameters<typeof createNames>[0]

/** What a TLS port shows: a route's own certificate for the route's names, else that of the files. */
export type ServedCertificates = Readonly<{
  follow(active: Active): void
  of(name: string): SecureContext | undefined
  /** For everybody else; without a certificate in it their handshake fails. */
  fallback(): SecureContextOptions
  onFallback(listener: (next: SecureContextOptions) => void): void
  /** Called once there is something to show. */
  onFirst(listener: () => void): void
  close(): void
}>

export function createServedCertificates(files: FileCertificate | undefined, say: Say): ServedCertificates {
  const names = createNames(say)
  const listeners: ((next: SecureContextOptions) => void)[] = []
  const waiting: (() => void)[] = []
  let active: Active | undefined
  let shown: SecureContextOptions | undefined

  const fallback = (): SecureContextOptions => files?.current().options ?? names.fallback() ?? {}

  function refresh(): void {
    const { ca } = files?.current().options ?? {}
    if (active !== undefined) names.follow(active, typeof ca === 'string' ? ca : undefined)
    const next = fallback()
    if (next.cert !== shown?.cert || next.key !== shown?.key || next.ca !== shown?.ca) for (const listener of listeners) listener(next)
    shown = next
    if (!names.some && files === undefined) return
    for (const listener of waiting.splice(0)) listener()
  }
  files?.onChange(refresh)
  refresh()

  return {
    follow(next) {
      active = next
      refresh()
    },
    of: (name) => names.of(name),
    fallback,
    onFallback: (listener) => { listeners.push(listener) },
    onFirst(listener) {
      if (names.some || files !== undefined) listener()
      else waiting.push(listener)
    },
    close: () => files?.close(),
  }
}
