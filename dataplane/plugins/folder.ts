import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** A file that may hold a plugin. `digest`: of all that makes a difference to it. */
export type PluginFile = Readonly<{ file: string; digest: string }>

const modules = /\.m?[jt]s$/
const others = /\.d\.m?ts$|\.test\.m?[jt]s$/
/** Bytes of one. */
const sizeMax = 4 * 1024 * 1024

/**
 * The plugins of a folder, by their files' names in order; folders in it are not looked at. A file whose name begins
 * with `_` is what they share: when it changes, all of them do.
 */
export async function scanPlugins(folder: string): Promise<readonly PluginFile[]> {
  const names = (await readdir(folder)).filter((name) => modules.test(name) && !others.test(name) && !name.startsWith('.')).sort()
  const read = await Promise.all(names.map(async (name) => {
    const file = join(folder, name)
    const found = await stat(file)
    if (!found.isFile() || found.size > sizeMax) return undefined
    return { name, file, content: await readFile(file) }
  }))
  const files = read.filter((one) => one !== undefined)
  const shared = files.filter(({ name }) => name.startsWith('_'))
  return files.filter(({ name }) => !name.startsWith('_')).map(({ file, content }) => {
    const hash = createHash('sha256').update(content)
    for (const { name, content: more } of shared) hash.update(`\n${name}\n`).update(more)
    return { file, digest: hash.digest('hex') }
  })
}
