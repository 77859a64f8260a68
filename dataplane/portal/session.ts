import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import * as v from 'valibot'

/**
 * A session is all in its cookie, sealed with what the proxies of a fleet have in common, so that any of them takes it.
 * It names a key by its digest: once the key is gone, so is every session of it.
 */
const Session = v.strictObject({ tenant: v.string(), digest: v.string(), until: v.number() })
export type Session = v.InferOutput<typeof Session>

export const cookieName = 'modelroute-portal'
/** Milliseconds. */
export const sessionMax = 8 * 3_600_000
const ivBytes = 12
const tagBytes = 16

const derive = (pepper: Buffer, what: string) => Buffer.from(hkdfSync('sha256', pepper, '', `modelroute portal ${what}`, 32))

export function seal(session: Session, pepper: Buffer): string {
  const iv = randomBytes(ivBytes)
  const cipher = createCipheriv('aes-256-gcm', derive(pepper, 'session'), iv)
  const sealed = Buffer.concat([cipher.update(JSON.stringify(session)), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url')
}

/** What was sealed here, and is not over; anything else is no session. */
export function unseal(cookie: string, pepper: Buffer, now: number): Session | undefined {
  const bytes = Buffer.from(cookie, 'base64url')
  if (bytes.length <= ivBytes + tagBytes) return undefined
  try {
    const decipher = createDecipheriv('aes-256-gcm', derive(pepper, 'session'), bytes.subarray(0, ivBytes), { authTagLength: tagBytes })
    decipher.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes))
    const text = Buffer.concat([decipher.update(bytes.subarray(ivBytes + tagBytes)), decipher.final()]).toString()
    const parsed = v.safeParse(Session, JSON.parse(text))
    return parsed.success && parsed.output.until > now ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/** What a form of this session must bring: another site can neither read it nor make it up. */
export function formToken(cookie: string, pepper: Buffer): string {
  return createHmac('sha256', derive(pepper, 'form')).update(cookie).digest('base64url')
}

export function sameToken(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
