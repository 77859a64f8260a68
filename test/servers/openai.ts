import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder } from '../cache-folder.ts'

/** openai for Node.js, kept outside the repository: the gateway itself has no use for it. @returns its module */
export async function ensureOpenai(): Promise<string> {
  const folder = join(cacheFolder, 'openai-7.55.0')
  const module = join(folder, 'node_modules/openai/index.mjs')
  if (existsSync(module)) return module
  await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', folder, 'openai@7.55.0'])
  return module
}
