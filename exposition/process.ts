import { readdir } from 'node:fs/promises'
import { Counter, Gauge, type Registry } from 'prom-client'

/** What a process takes of its machine, under the names that Prometheus' own clients have for it. */
export function registerUse(registry: Registry): void {
  const registers = [registry]
  const cpu = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Time that the processors worked for the process.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      cpu.reset()
      cpu.inc((user + system) / 1e6)
    },
  })
  const gauge = (name: string, help: string, read: () => number): void => {
    const told = new Gauge({
      name, help, registers,
      collect() {
        told.set(read())
      },
    })
  }
  gauge('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss())
  gauge('nodejs_heap_size_used_bytes', 'Memory of the objects of the process.', () => process.memoryUsage().heapUsed)
  const started = new Gauge({ name: 'process_start_time_seconds', help: 'When the process began, since the epoch.', aggregator: 'min', registers })
  started.set(Math.round(Date.now() / 1000 - process.uptime()))
  const files = new Gauge({
    name: 'process_open_fds',
    help: 'Open files and connections of the process.',
    registers,
    async collect() {
      // Where there is no such folder nothing is said.
      await readdir('/proc/self/fd').then(({ length }) => files.set(length), () => files.reset())
    },
  })
}
