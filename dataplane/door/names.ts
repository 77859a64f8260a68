import { X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import type { Route } from '../../table/route.ts'
import type { Secret } from '../../table/secrets.ts'
import type { Active } from '../store.ts'
import { tlsFloor } from './certificates.ts'

type Usable = Readonly<{ options: SecureContextOptions; context: SecureContext; leaf: X509Certificate }>
type Read = Usable | Readonly<{ wrong: string }>

type Say = (level: 'warn', message: string, fields: Readonly<Record<string, unknown>>) => void

/** The certificates that routes bring, by the names of those routes and no others. */
export type NamedCertificates = Readonly<{
  /** To be called with each table; `ca`: what clients' certificates must be signed by. */
  follow(active: Pick<Active, 'routes' | 'secrets'>, ca: string | undefined): void
  /** For the name that a client asks for (SNI). */
  of(name: string): SecureContext | undefined
  /** Of a route that is for any host: for other names, and for clients that ask for none. */
  fallback(): SecureContextOptions | undefined
  /** Whether there is any at all. */
  readonly some: boolean
}>

export function createNames(say: Say): NamedCertificates {
  let before: Pick<Active, 'routes' | 'secrets'> | undefined
  let authority: string | undefined
  let read = new WeakMap<Secret, Read>()
  let names: ReadonlyMap<string, Usable> = new Map()
  const told = new Map<string, string>()

  /** A Secret that did not change is the same object, and is read once. */
  function certificateOf(secret: Secret): Read {
    let known = read.get(secret)
    if (known === undefined) read.set(secret, (known = readCertificate(secret, authority)))
    return known
  }

  function usable(route: Route, secrets: Active['secrets']): Usable[] {
    return (route.certificates ?? []).flatMap((id) => {
      const secret = secrets.get(id)
      const found = secret === undefined ? { wrong: 'it is not here: it was never sent, or no longer exists' } : certificateOf(secret)
      if (!('wrong' in found)) {
        told.delete(id)
        return [found]
      }
      if (told.get(id) !== found.wrong) say('warn', 'a certificate of a route cannot be used', { secret: id, route: route.id, why: found.wrong })
      told.set(id, found.wrong)
      return []
    })
  }

  return {
    follow({ routes, secrets }, ca) {
      if (before?.routes === routes && before.secrets === secrets && authority === ca) return
      if (authority !== ca) read = new WeakMap()
      before = { routes, secrets }
      authority = ca
      const next = new Map<string, Usable>()
      // The oldest route decides which certificate a name shows, as it does over what the name serves.
      for (const route of [...routes.values()].filter(({ certificates }) => certificates !== undefined).sort(byAge)) {
        const mine = usable(route, secrets)
        for (const host of route.hostnames.length > 0 ? route.hostnames : ['']) {
          const fit = mine.find(({ leaf }) => covers(leaf, host)) ?? mine[0]
          if (fit !== undefined && !next.has(host)) next.set(host, fit)
        }
      }
      names = next
    },
    of: (name) => lookUp(names, name.toLowerCase())?.context,
    fallback: () => names.get('')?.options,
    get some() {
      return names.size > 0
    },
  }
}

function byAge(a: Route, b: Route): number {
  if (a.created !== b.created) return a.created < b.created ? -1 : 1
  return a.id < b.id ? -1 : 1
}

/** The name itself, else the longest `*.` above it, as routes are matched by host. */
function lookUp<T>(names: ReadonlyMap<string, T>, name: string): T | undefined {
  const exact = name === '' ? undefined : names.get(name)
  if (exact !== undefined) return exact
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
    const above = names.get(`*${name.slice(dot)}`)
    if (above !== undefined) return above
  }
  return undefined
}

function covers(leaf: X509Certificate, host: string): boolean {
  return leaf.checkHost(host.replace('*', 'a')) !== undefined
}

function readCertificate({ data }: Secret, ca: string | undefined): Read {
  const text = (key: string) => (Object.hasOwn(data, key) ? Buffer.from(data[key] ?? '', 'base64').toString() : undefined)
  const [cert, key] = [text('tls.crt'), text('tls.key')]
  if (cert === undefined || key === undefined) return { wrong: 'it has no tls.crt or no tls.key' }
  const options = { ...tlsFloor, cert, key, ...(ca !== undefined && { ca }) }
  try {
    return { options, context: createSecureContext(options), leaf: new X509Certificate(cert) }
  } catch (error) {
    // The words of OpenSSL: they say what is wrong with the encoding, and quote nothing of it.
    return { wrong: error instanceof Error ? error.message : 'it cannot be read' }
  }
}
