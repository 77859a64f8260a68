import { keyOf } from './api.ts'
import { sleep, type Clock } from './clock.ts'
import { list, type Target } from './list.ts'

/** How long an event may lag behind the list that already shows it. Milliseconds. */
const LAG = 2_000

type Known = ReadonlyMap<string, Readonly<{ uid: string; resourceVersion: string }>>

/**
 * Lists the kind beside a running watch, and answers what the watch has missed; undefined when nothing, or when the
 * list itself failed (the watch goes on; the next one tells). Reading the list into the store instead would leave a
 * second without events at every turn.
 * @param touched keys that the watch changes meanwhile: it is ahead of the list there
 */
export async function verify(
  target: Target,
  signal: AbortSignal,
  clock: Clock,
  known: () => Known,
  touched: ReadonlySet<string>,
): Promise<string | undefined> {
  const listed = new Map<string, string>()
  const outcome = await list(target, signal, () => listed.clear(), ({ metadata }) => {
    listed.set(keyOf(metadata.namespace ?? '', metadata.name), `${metadata.uid} ${metadata.resourceVersion}`)
  })
  if ('why' in outcome || signal.aborted) return undefined
  const missed = () => [...new Set([...listed.keys(), ...known().keys()])].filter(key => {
    const held = known().get(key)
    return !touched.has(key) && listed.get(key) !== (held && `${held.uid} ${held.resourceVersion}`)
  })
  if (missed().length === 0) return undefined
  await sleep(clock, LAG, signal)
  const lost = missed()
  if (lost.length === 0 || signal.aborted) return undefined
  return `the watch missed ${lost.length} changes, ${lost[0]} among them`
}
