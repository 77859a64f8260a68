import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const mib = 1 << 20

/** In MiB: everything, and what kubelet judges a pod by, which leaves out file pages not used lately; and how many pages were given up and read again. */
export type Charged = Readonly<{ usage: number; workingSet: number; refaults: number }>

/** A memory cgroup for one program. */
export type Cgroup = Readonly<{
  /** Goes before the program's command. */
  enter: readonly string[]
  charged(): Charged
  /** Once its program has ended. */
  remove(): Promise<void>
}>

/** Of the counts of `memory.stat`, version 1 has one for the group alone and another, `total_`, with those below it, as version 2 always does. */
export function charged(usage: string, stat: string): Charged {
  const counts = new Map(stat.split('\n').map((line) => [line.slice(0, line.indexOf(' ')), Number(line.slice(line.indexOf(' ')))] as const))
  const of = (name: string) => counts.get(`total_${name}`) ?? counts.get(name) ?? 0
  const all = Number(usage)
  return { usage: all / mib, workingSet: Math.max(0, all - of('inactive_file')) / mib, refaults: of('workingset_refault_file') }
}

type Version = Readonly<{ filesystem: RegExp; own: RegExp; usage: string; limit: string; swap: (bytes: number) => readonly [file: string, value: number] }>

const versions: readonly Version[] = [
  {
    filesystem: / - cgroup2 /, own: /^0::(?<path>.+)$/m, usage: 'memory.current', limit: 'memory.max',
    swap: () => ['memory.swap.max', 0],
  },
  {
    filesystem: / - cgroup .*\bmemory\b/, own: /^\d+:(?:.+,)?memory(?:,.+)?:(?<path>.+)$/m, usage: 'memory.usage_in_bytes', limit: 'memory.limit_in_bytes',
    // Of memory and swap together.
    swap: (bytes) => ['memory.memsw.limit_in_bytes', bytes],
  },
]

/** The folders that a cgroup may be made in: of the whole machine, or beside this process, which a user may have been given. */
function places({ filesystem, own }: Version): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((line) => filesystem.test(line)).map((line) => line.split(' ')[4] ?? '')
  const path = own.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.groups?.['path'] ?? '/'
  return mounts.flatMap((mount) => [mount, join(mount, path, '..')])
}

const entering = (folder: string) => ['sh', '-c', 'echo $$ > "$0" && exec "$@"', join(folder, 'cgroup.procs')]

function made(folder: string, { usage }: Version): boolean {
  try {
    mkdirSync(folder)
  } catch {
    return false
  }
  // Version 2 makes folders that count no memory, and who may make one may not put processes into it.
  const [command = '', ...words] = entering(folder)
  const good = existsSync(join(folder, usage)) && spawnSync(command, [...words, 'true'], { stdio: 'ignore' }).status === 0
  if (!good) rmdirSync(folder)
  return good
}

/**
 * Makes a cgroup, of the version that counts memory here; undefined where there is none or we may make none.
 * @param limit in MiB: what it may be charged at most, without swap, as in a pod
 */
export function makeCgroup(limit?: number): Cgroup | undefined {
  if (!existsSync('/proc/self/cgroup')) return undefined
  for (const version of versions) {
    const folder = places(version).map((place) => join(place, `modelroute-bench-${process.pid}`)).find((one) => made(one, version))
    if (folder === undefined) continue
    const read = (name: string) => readFileSync(join(folder, name), 'utf8')
    if (limit !== undefined) {
      writeFileSync(join(folder, version.limit), String(limit * mib))
      const [swap, value] = version.swap(limit * mib)
      if (existsSync(join(folder, swap))) writeFileSync(join(folder, swap), String(value))
    }
    return {
      enter: entering(folder),
      charged: () => charged(read(version.usage), read('memory.stat')),
      async remove() {
        while (read('cgroup.procs') !== '') await sleep(10)
        rmdirSync(folder)
      },
    }
  }
  return undefined
}
