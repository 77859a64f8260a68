import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Gives back what loading the program left behind, before there is anything to serve: a tenth of what an idle proxy
 * takes, which V8 would keep for as long as little happens. Takes some 30 ms.
 */
export function collectGarbage(): void {
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}

type Collect = (how: Readonly<{ type: 'major' | 'minor'; execution: 'sync'; flavor?: 'last-resort' }>) => void

let collector: Collect | undefined
const collect: Collect = (how) => (collector ??= makeCollector())(how)

function makeCollector(): Collect {
  // Only contexts made from here on are given it.
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  return (how) => { if (typeof collect === 'function') Reflect.apply(collect, undefined, [how]) }
}

/** Bytes of buffers that are made between two collections. */
const buffersMax = 4 * 1024 * 1024
let buffersMade = 0

/**
 * Buffers of so many bytes were made for what is soon over. V8 counts them as if they were old: 16 MiB more of them than
 * after the last time, a dozen bodies of a megabyte, and it looks through the whole heap, which took twice the time of the requests
 * themselves. Looked for among the young they are found in less than a millisecond.
 */
export function madeBuffers(bytes: number): void {
  buffersMade += bytes
  if (buffersMade < buffersMax) return
  buffersMade = 0
  collect({ type: 'minor', execution: 'sync' })
}

/** What objects are made in, both halves of it. Bytes. */
const youngMax = 16 * 1024 * 1024

/**
 * Bounds what objects are made in: V8 doubles it again and again, up to 128 MiB, the more of a burst of requests is alive at
 * once, and no request was seen to cost less for it. As a flag (`--max-semi-space-size=8`) it would have to be given by
 * whoever starts us. Under load it doubles five times within a tenth of a second, so it is looked at after each collection
 * while it may grow; and each second, since V8 makes it smaller when there is little to do, and it must be able to grow again.
 */
export function boundYoung(): void {
  const collections = new PerformanceObserver(look)
  let grows = true
  collections.observe({ type: 'gc' })
  setInterval(look, 1000).unref()

  function look(): void {
    const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0
    if (grows === young < youngMax) return
    grows = !grows
    setFlagsFromString(`--semi-space-growth-factor=${grows ? 2 : 1}`)
    if (grows) collections.observe({ type: 'gc' })
    else collections.disconnect()
  }
}

/**
 * Objects are made among the young, always. Where many of one kind were alive at a collection, as those of requests are whose
 * answers wait for their record, V8 would make the next ones among the old: there they stay when they are of no use any more,
 * and hold what they refer to, until all of the heap is looked through. That took a fifth of the time of a request.
 */
export function keepYoung(): void {
  setFlagsFromString('--no-allocation-site-pretenuring')
}

/**
 * Has old objects looked over each time that there are a quarter more of them: V8 lets them double or more while there is
 * memory, and a controller that follows thousands of objects would be twice as large as what it knows.
 */
export function boundOld(): void {
  setFlagsFromString('--heap-growing-percent=25')
}
