import { unwatchFile, watchFile } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { CountryResponse } from 'mmdb-lib'
import type { Exchange } from './exchange.ts'
import { plainAddress, type Networks } from './networks.ts'

/** The country that a request comes from (ISO 3166-1 alpha-2, upper case); undefined where it is not known. */
export type Geo = (exchange: Exchange) => string | undefined

export type GeoOptions = Readonly<{
  /** A database in MaxMind DB format. */
  file?: string | undefined
  /** A header, lower case, that is believed of trusted hops alone. */
  header?: string | undefined
}>

type Log = (level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void

/** Milliseconds between two looks at whether the file was replaced. */
const lookEvery = 2000
const form = /^[A-Za-z]{2}$/

/** Throws where the database cannot be read at the start; one that breaks later is reported, and the last one stays. */
export async function openGeo({ file, header }: GeoOptions, trusted: Networks | undefined, log: Log): Promise<Readonly<{ country: Geo; close(): void }>> {
  const read = async (path: string) => new (await import('mmdb-lib')).Reader<CountryResponse>(await readFile(path))
  let database = file === undefined ? undefined : await read(file)
  const follow = (): void => {
    if (file === undefined) return
    read(file).then(
      (next) => {
        database = next
        log('info', 'geo: database replaced', { file })
      },
      (error: unknown) => log('error', 'geo: the new database cannot be read; the last one stays', { file, why: String(error) }),
    )
  }
  if (file !== undefined) watchFile(file, { interval: lookEvery, persistent: false }, follow)

  const said = (exchange: Exchange): string | undefined => {
    if (header === undefined || trusted?.(plainAddress(exchange.request.remoteAddress)) !== true) return undefined
    const value = exchange.header(header)
    return value !== undefined && form.test(value) ? value.toUpperCase() : undefined
  }
  const looked = ({ clientAddress }: Exchange): string | undefined => {
    if (database === undefined || isIP(clientAddress) === 0) return undefined
    try {
      return database.get(clientAddress)?.country?.iso_code
    } catch {
      // An address of a family that the database does not have.
      return undefined
    }
  }
  return {
    country: (exchange) => said(exchange) ?? looked(exchange),
    close: () => {
      if (file !== undefined) unwatchFile(file, follow)
    },
  }
}
