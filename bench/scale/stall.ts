import { subscribe } from 'node:diagnostics_channel'
import { writeFileSync } from 'node:fs'

/**
 * Loaded before a proxy: what its event loop was held up at most, in milliseconds of its own work. What others of this
 * machine take is not the proxy's, so time of the thread is counted and not of the clock. From when its last port is open: nobody
 * waits for one that is still loading its program. SIGUSR2 writes what was
 * seen since the last time to the file named by MODELROUTE_STALL.
 */
const file = process.env['MODELROUTE_STALL'] ?? ''
const worked = (): number => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
let last = worked()
let most = 0
setInterval(() => {
  const now = worked()
  most = Math.max(most, now - last)
  last = now
}, 1).unref()
subscribe('tracing:net.server.listen:asyncEnd', () => {
  most = 0
  last = worked()
})
process.on('SIGUSR2', () => {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  writeFileSync(file, JSON.stringify({ most, heap: (heapUsed + external) / (1 << 20) }))
  most = 0
  last = worked()
})
