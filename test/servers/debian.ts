// Programs of Debian, installed where they are missing.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'

/** Needs to be root once, as everything that installs Debian's packages. */
export async function ensurePackage(program: string, name: string): Promise<string> {
  if (existsSync(program)) return program
  const script = `apt-get update -q && apt-get install -qy --no-install-recommends ${name}`
  await promisify(execFile)('flock', ['/tmp/modelroute-apt.lock', 'sh', '-c', script], { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
  return program
}
