import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileKeys } from './files-keys.ts'
import type { KeyStore } from './keys.ts'

/** The file in a folder of manifests that holds the keys which their holders made. */
const FILE = 'rotated-keys.yaml'

let last: Promise<unknown> = Promise.resolve()

/** Adds a key to the first folder of manifests that is read. Undefined once it is there, else why it is not. */
export function addRotated(paths: readonly string[], key: Parameters<KeyStore['create']>[0]): Promise<string | undefined> {
  const mine = last.then(() => add(paths, key))
  last = mine
  return mine
}

async function add(paths: readonly string[], key: Parameters<KeyStore['create']>[0]): Promise<string | undefined> {
  for (const path of paths) {
    if (path === '-' || !(await stat(path).catch(() => undefined))?.isDirectory()) continue
    try {
      await fileKeys(join(path, FILE)).create(key)
      return undefined
    } catch (error) {
      return `${FILE} cannot be written: ${error instanceof Error && 'code' in error ? String(error.code) : 'it holds something else'}`
    }
  }
  return 'over files it needs a folder of manifests'
}
