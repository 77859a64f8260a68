import { readFile } from 'node:fs/promises'
import type { KeySet } from '../table/credentials.ts'
import type { PepperId, Secret } from '../table/secrets.ts'
import type { Active, Log } from './store.ts'

/**
 * The credentials and secrets of the table in force. Whoever needs one asks for it by the id that its route names, at
 * the moment it is needed: a key that comes or goes rebuilds no route. Both maps are replaced whole, never changed, and
 * an item that did not change keeps its identity.
 */
export class Vault {
  credentials: ReadonlyMap<string, KeySet> = new Map()
  /** Empty in a proxy that has its table from disk and has met no controller yet. */
  secrets: ReadonlyMap<string, Secret> = new Map()

  /** With which API keys are digested; undefined until it is known. */
  pepper: Buffer | undefined
  readonly #pepper: Buffer | undefined

  /** @param pepper what API keys are digested with until a controller tells it */
  constructor(pepper?: Buffer) {
    this.#pepper = this.pepper = pepper
  }

  follow({ credentials, secrets }: Pick<Active, 'credentials' | 'secrets'>): void {
    this.credentials = credentials
    this.secrets = secrets
    const id: PepperId = 'pepper'
    this.pepper = this.secret(id, id) ?? this.#pepper
  }

  /** The value, decoded; undefined where there is none, or not yet. */
  secret(id: string, key: string): Buffer | undefined {
    const data = this.secrets.get(id)?.data
    const value = data !== undefined && Object.hasOwn(data, key) ? data[key] : undefined
    return value === undefined ? undefined : Buffer.from(value, 'base64')
  }
}

/** A Secret may be mounted later than the proxy starts; the controller tells it too. */
export async function pepperFrom(file: string, log: Log): Promise<Buffer | undefined> {
  try {
    const text = (await readFile(file, 'utf8')).trim()
    if (text !== '') return Buffer.from(text)
    log('warn', 'the file of the pepper is empty: API keys are known once a controller answers', { file })
  } catch (error) {
    log('warn', 'no pepper on disk: API keys are known once a controller answers', { file, why: String(error) })
  }
  return undefined
}
