import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * What a script prints; throws where a command of it fails. Without the files that a shell of this machine begins with: bash reads
 * ~/.bashrc where its input is a socket, as it is here, and nobody above it was a shell, and that may put other programs first.
 */
export async function inBash(script: string, options: Readonly<{ cwd?: string; env?: NodeJS.ProcessEnv }>): Promise<string> {
  return (await run('bash', ['--noprofile', '--norc', '-euo', 'pipefail', '-c', script], options)).stdout
}
