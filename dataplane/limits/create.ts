import type { Limiter } from './limiter.ts'
import { createProcessStore, type ProcessStoreOptions } from './process.ts'

export function createLimiter(options: ProcessStoreOptions = {}): Limiter {
  const own = createProcessStore(options)
  return {
    take: (_, takes) => own.take(takes),
    settle: ({ held }, units) => held?.settle(units),
    close: () => Promise.resolve(),
  }
}
