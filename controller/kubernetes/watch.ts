import { isObject, isRecord, type RawObject } from './api.ts'
import type { Clock } from './clock.ts'
import { lineReader } from './lines.ts'
import type { Target } from './list.ts'
import { troubleOf, type Trouble } from './trouble.ts'

export type WatchEvent = Readonly<{ type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: RawObject }>

export type WatchOptions = Readonly<{
  clock: Clock
  signal: AbortSignal
  /** The server ends the watch after this, so that watchers spread over its replicas. Seconds. */
  timeoutSeconds: number
  /** Milliseconds of silence after which the connection is taken for dead: half-open ones never say so. */
  idle: number
  /** Called for events and bookmarks alike, before `onEvent`, with the version to go on from. */
  onVersion(resourceVersion: string): void
  onEvent(event: WatchEvent): void
}>

/** One watch, from `resourceVersion`, to its end. Undefined: it ended as watches do. */
export async function watch(
  target: Target,
  resourceVersion: string,
  options: WatchOptions,
): Promise<Trouble | undefined> {
  const own = new AbortController()
  let trouble: Trouble | undefined
  let silent = false
  const end = (why: Trouble | undefined) => {
    trouble ??= why
    own.abort()
  }
  const expect = () => options.clock.after(options.idle, () => {
    silent = true
    end(undefined)
  })
  let cancelIdle = expect()
  const read = lineReader(line => {
    if (own.signal.aborted || line.trim() === '') return
    const outcome = parse(line)
    if ('why' in outcome) return end(outcome)
    options.onVersion(outcome.object.metadata.resourceVersion)
    if (outcome.type !== 'BOOKMARK') options.onEvent({ type: outcome.type, object: outcome.object })
  })
  const answer = await target.api.stream({
    path: target.path,
    query: {
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion,
      timeoutSeconds: options.timeoutSeconds,
      ...(target.labelSelector === undefined ? {} : { labelSelector: target.labelSelector }),
    },
    signal: AbortSignal.any([options.signal, own.signal]),
  }, chunk => {
    cancelIdle()
    cancelIdle = expect()
    if (!read(chunk)) end({ why: 'garbled', message: 'an event longer than any object can be' })
  })
  cancelIdle()
  if (trouble !== undefined) return trouble
  return answer.status === 200 || silent || options.signal.aborted ? undefined : troubleOf(answer)
}

type Parsed = Readonly<{ type: WatchEvent['type'] | 'BOOKMARK'; object: RawObject }>

function parse(line: string): Parsed | Trouble {
  let event: unknown
  try {
    event = JSON.parse(line)
  } catch {
    return { why: 'garbled', message: `an event that is not JSON: ${line.slice(0, 80)}` }
  }
  if (!isRecord(event)) return { why: 'garbled', message: 'an event that is no object' }
  const { type, object } = event
  if (type === 'ERROR') {
    const message = isRecord(object) && typeof object['message'] === 'string' ? object['message'] : 'an error event'
    // Whatever went wrong on the server, the events after it are lost. 410 is only the usual one.
    return { why: 'expired', message }
  }
  if (type === 'BOOKMARK' && isBookmark(object)) return { type, object }
  if ((type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') && isObject(object)) return { type, object }
  return { why: 'garbled', message: `an event of type ${String(type).slice(0, 20)} without an object` }
}

/** A bookmark is an object of the kind with nothing but a version. */
function isBookmark(value: unknown): value is RawObject {
  return isRecord(value) && isRecord(value['metadata']) && typeof value['metadata']['resourceVersion'] === 'string'
}
