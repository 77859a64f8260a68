import { labelText } from '../../exposition/family.ts'
import { BatchCounts } from './batch_counts.ts'
import { Distribution, durationBuckets } from './distribution.ts'
import { Room } from './room.ts'
import type { SeriesLabels } from './series.ts'

export const backendLabels = ['route', 'rule', 'variant', 'model_version'] as const
export type BackendLabels = Pick<SeriesLabels, (typeof backendLabels)[number]>

/** The distributions that a variant may have: one metric each, or two. */
const kinds = ['request', 'upstream', 'firstByte', 'batches'] as const
export type Kind = (typeof kinds)[number]
/** `held`: those that have one, so that a scrape need not look for them among all. */
export type Rooms = Readonly<Record<Kind, Readonly<{ room: Room; held: Set<Timings> }>>>

/** @param most label sets of each */
export function roomsFor(most: number): Rooms {
  const one = () => ({ room: new Room(most), held: new Set<Timings>() })
  return { request: one(), upstream: one(), firstByte: one(), batches: one() }
}

/**
 * How long requests took, and how many there are, of one variant and version, whatever the model was called: a histogram
 * is twenty samples, so that it is made of what is used, and for so many as there is room.
 */
export class Timings {
  readonly labels: BackendLabels
  inFlight = 0
  /** Nobody looks at it any more; requests that are still under way are counted in it, and take no room. */
  gone = false
  request: Distribution | undefined
  upstream: Distribution | undefined
  firstByte: Distribution | undefined
  batches: BatchCounts | undefined
  #text: string | undefined

  constructor(labels: BackendLabels) {
    this.labels = labels
  }

  /** What stands between the braces. */
  get text(): string {
    const { route, rule, variant, model_version } = this.labels
    return (this.#text ??= labelText(backendLabels, [route, rule, variant, model_version]))
  }
}

/** @param others where it is counted once there is no room */
export function distributionOf(timings: Timings, kind: 'request' | 'upstream' | 'firstByte', rooms: Rooms, others: Timings): Distribution {
  return (placeFor(timings, kind, rooms, others)[kind] ??= new Distribution(durationBuckets))
}

export function batchesOf(timings: Timings, rooms: Rooms, others: Timings): BatchCounts {
  return (placeFor(timings, 'batches', rooms, others).batches ??= new BatchCounts())
}

function placeFor(timings: Timings, kind: Kind, rooms: Rooms, others: Timings): Timings {
  if (timings.gone) return timings
  const { room, held } = rooms[kind]
  const place = timings === others || room.take() ? timings : others
  held.add(place)
  return place
}

/** Its places are free again. */
export function leaveRooms(timings: Timings, rooms: Rooms): void {
  for (const kind of kinds) {
    if (rooms[kind].held.delete(timings)) rooms[kind].room.release()
  }
}
