import { spawnSync } from 'node:child_process'
import { copyFileSync, statfsSync } from 'node:fs'

/** The type of file systems whose files are nowhere but in memory. */
const tmpfs = 0x01021994

/** Gives up what of a file is in memory, once nobody uses it; whether that can be done here. */
export function forget(file: string): boolean {
  return spawnSync('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'], { stdio: 'ignore' }).status === 0
    && statfsSync(file).type !== tmpfs
}

/** A copy of a program that nobody runs, as on a machine that runs none of it yet: to `forget` before each start. */
export function unshared(program: string, file: string): string {
  copyFileSync(program, file)
  return file
}
