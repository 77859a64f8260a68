import type { Balance } from '../table/resilience.ts'
import { createPicker } from '../dataplane/upstream/pick/create.ts'
import { Latency } from '../dataplane/upstream/pick/latency.ts'
import type { Asker, Member } from '../dataplane/upstream/pick/pick.ts'
import { Load } from '../dataplane/upstream/load/load.ts'

/**
 * What choosing one of 1,000 endpoints costs (or as many as asked), with 2,000 requests in flight. `node bench/pick.ts
 * [endpoints]`. Exits 1 where a policy takes more than 2 µs.
 */
const count = Number(process.argv[2] ?? 1000)
const limit = 2
const inFlightMax = 2 * count
const [rounds, picks] = [7, 200_000]

type Endpoint = { -readonly [name in keyof Member]: Member[name] }

function endpoints(): Endpoint[] {
  const now = performance.now()
  return Array.from({ length: count }, (_, i) => {
    const latency = new Latency()
    latency.observe(10 + (i % 50), now)
    const load = new Load()
    load.report({ waiting: i % 7, running: i % 11, used: (i % 10) / 10 }, i % 3, now)
    return {
      inFlight: 0, full: false, label: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}:8000`, zone: `zone-${i % 3}`, since: i % 20 === 0 ? now : 0, latency, load,
    }
  })
}

const askers = Array.from({ length: 4096 }, (_, i): Asker => ({
  principal: undefined, clientAddress: '192.0.2.1', promptKey: Math.imul(i, 0x9e3779b1) >>> 0, header: (name) => name === 'x-user' ? `user-${i}@example.com` : undefined,
}))
const nobody: Asker = { principal: undefined, clientAddress: '192.0.2.1', promptKey: undefined, header: () => undefined }

const byUser: Balance = { policy: 'ConsistentHash', key: { by: 'Header', name: 'x-user' } }
const cases: readonly (readonly [name: string, balance: Balance])[] = [
  ['RoundRobin', { policy: 'RoundRobin' }],
  ['LeastRequest', { policy: 'LeastRequest' }],
  ['PeakEWMA', { policy: 'PeakEWMA' }],
  ['ConsistentHash by header', byUser],
  ['ConsistentHash by prompt', { policy: 'ConsistentHash', key: { by: 'PromptPrefix' } }],
  ['InferenceAware', { policy: 'InferenceAware' }],
  ['InferenceAware, zones, slow start', { policy: 'InferenceAware', zoneAware: true, slowStart: 600_000 }],
  ['ConsistentHash, zones, slow start', { ...byUser, zoneAware: true, slowStart: 600_000 }],
]

/** Microseconds a pick; each begins a request, and one of before ends. */
function measure(balance: Balance): number {
  const members = endpoints()
  const { pick } = createPicker<Endpoint>(balance, { turns: new Map(), zone: 'zone-1' })
  const running: (Endpoint | undefined)[] = Array.from({ length: inFlightMax })
  const took: number[] = []
  for (let round = 0; round < rounds; round++) {
    const start = performance.now()
    for (let i = 0; i < picks; i++) {
      const chosen = pick(members, balance.key === undefined ? nobody : askers[i & 4095] ?? nobody)
      const ended = running[i % inFlightMax]
      if (ended !== undefined) ended.inFlight--
      if (chosen !== undefined) chosen.inFlight++
      running[i % inFlightMax] = chosen
    }
    took.push((performance.now() - start) * 1000 / picks)
  }
  // The first warm up.
  return took.slice(2).toSorted((a, b) => a - b)[Math.floor((rounds - 2) / 2)] ?? 0
}

let slow = false
for (const [name, balance] of cases) {
  const took = measure(balance)
  if (took > limit) slow = true
  process.stdout.write(`${name.padEnd(36)}${took.toFixed(3)} µs\n`)
}
/** Milliseconds of the first pick after an endpoint went and another came. */
function measureChange(): number {
  const members = endpoints()
  const [first] = members
  if (first === undefined) return 0
  const { pick } = createPicker<Endpoint>(byUser, { turns: new Map(), zone: undefined })
  const took: number[] = []
  for (let i = 0; i < 60; i++) {
    const changed = members.with(i % count, { ...first, label: `192.0.2.${i}:80` })
    const start = performance.now()
    pick(changed, askers[i] ?? nobody)
    took.push(performance.now() - start)
  }
  return took.slice(20).toSorted((a, b) => a - b)[20] ?? 0
}
process.stdout.write(`${'ConsistentHash after a change'.padEnd(36)}${measureChange().toFixed(3)} ms, once\n`)
if (slow) process.exitCode = 1
