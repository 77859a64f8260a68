import { rename, stat, writeFile } from 'node:fs/promises'

/** Replaces a file in one step, so that a watching gateway never reads half of it. @param mode of a file that is new */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const kept = await stat(path).then((found) => found.mode & 0o777, () => mode)
  const temporary = `${path}.${process.pid}.tmp`
  await writeFile(temporary, text, { mode: kept })
  await rename(temporary, path)
}
