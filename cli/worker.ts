import { startDataplane, type DataplaneOptions } from '../dataplane/main.ts'
import { primaryOf, type Primary } from '../dataplane/workers/worker.ts'

/**
 * What a command does in a process that its own first one started (`--workers`): the data plane and nothing else, fed
 * and ended by that one. Undefined in the first.
 */
export function workerRun(): ((options: Omit<DataplaneOptions, 'feed' | 'workers'>) => Promise<number>) | undefined {
  const primary = primaryOf()
  return primary && ((options) => work(primary, options))
}

async function work(primary: Primary, options: Omit<DataplaneOptions, 'feed' | 'workers'>): Promise<number> {
  // The first process ends its workers; a terminal tells all of them.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {})
  await startDataplane({ ...options, workers: 1, feed: { primary } })
  await primary.ended
  process.disconnect()
  return 0
}
