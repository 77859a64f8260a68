import type { Asker, Member, Picker } from './pick.ts'

/** `part`: of this proxy's requests, those that go there. */
type Place<M> = { name: string; members: M[]; part: number }

/**
 * Endpoints of the proxy's own zone, as far as these can take it: each zone is taken to bring as many requests as any
 * other, so one that has at least its part of the endpoints keeps all of its own, and one that has less keeps what its
 * endpoints can take and spreads the rest over the zones that have more, by how much more (as Envoy's zone aware
 * routing). Where nothing is known of the zones, or the own one has nobody, it makes no difference.
 * @param create for the endpoints of one zone, and of all
 * @param toss 0 to 1: the same for the same key, where endpoints are chosen by key
 */
export function createZoned<M extends Member>(zone: string, create: (zone: string) => Picker<M>, toss: (asker: Asker) => number): Picker<M> {
  const pickers = new Map<string, Picker<M>>()
  let members: readonly M[] | undefined
  /** The own one first; empty: all are the same. */
  let places: readonly Place<M>[] = []

  function pickerOf(name: string): Picker<M> {
    let picker = pickers.get(name)
    if (picker === undefined) {
      picker = create(name)
      pickers.set(name, picker)
    }
    return picker
  }

  function follow(now: readonly M[]): void {
    if (now === members) return
    members = now
    places = divide(now, zone)
    const live = new Set(['', ...places.map(({ name }) => name)])
    for (const name of pickers.keys()) if (!live.has(name)) pickers.delete(name)
  }

  return {
    pick(now, asker, tried) {
      follow(now)
      if (places.length > 0 && tried === undefined) {
        let left = places[0]?.part === 1 ? 0 : toss(asker)
        for (const { name, members: there, part } of places) {
          left -= part
          if (left > 0) continue
          const picked = pickerOf(name).pick(there, asker)
          if (picked?.full === false) return picked
          break
        }
      }
      return pickerOf('').pick(now, asker, tried)
    },
    weigh(now, asker) {
      follow(now)
      if (places.length === 0) return pickerOf('').weigh(now, asker)
      return places.toSorted((a, b) => b.part - a.part).flatMap(({ name, members: there, part }) =>
        pickerOf(name).weigh(there, asker).map((one) => ({ ...one, why: `${one.why}; ${Math.round(part * 100)} % go to zone ${name || 'unknown'}` })))
    },
  }
}

function divide<M extends Member>(members: readonly M[], own: string): Place<M>[] {
  const byZone = new Map<string, Place<M>>([[own, { name: own, members: [], part: 0 }]])
  for (const member of members) {
    const name = member.zone ?? ''
    const place = byZone.get(name) ?? { name, members: [], part: 0 }
    byZone.set(name, place)
    place.members.push(member)
  }
  const home = byZone.get(own)
  if (home === undefined || home.members.length === 0) return []
  const fair = 1 / [...byZone.keys()].filter((name) => name !== '').length
  // Nobody calls from a zone without a name, so all that is there is to spare.
  const spare = (place: Place<M>) => Math.max(0, place.members.length / members.length - (place.name === '' ? 0 : fair))
  home.part = Math.min(1, home.members.length / members.length / fair)
  const others = [...byZone.values()].filter((place) => place !== home)
  const all = others.reduce((sum, place) => sum + spare(place), 0)
  for (const place of others) place.part = all > 0 ? (1 - home.part) * spare(place) / all : 0
  return [home, ...others]
}
