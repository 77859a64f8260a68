import { readdirSync } from 'node:fs'
import type { Family, Plain } from './family.ts'

/** What a process takes of its machine, under the names that Prometheus' own clients have for it. */
export function useFamilies(): readonly Family[] {
  const started = Math.round(Date.now() / 1000 - process.uptime())
  return [
    single('process_cpu_seconds_total', 'Time that the processors worked for the process.', () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    }, { type: 'counter' }),
    single('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss()),
    single('nodejs_heap_size_used_bytes', 'Memory of the objects of the process.', () => process.memoryUsage().heapUsed),
    single('process_start_time_seconds', 'When the process began, since the epoch.', () => started, { combine: 'min' }),
    single('process_open_fds', 'Open files and connections of the process.', openFiles),
  ]
}

/** What there is one of in a process; undefined: nothing is said of it. */
export function single(name: string, help: string, read: () => number | undefined, more: Partial<Pick<Plain, 'type' | 'combine'>> = {}): Family {
  return {
    name, help, type: 'gauge', labels: [], ...more,
    rows() {
      const value = read()
      return value === undefined ? [] : [{ labels: '', value }]
    },
  }
}

/** Where there is no such folder nothing is said. */
function openFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return undefined
  }
}
