import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeServer, status } from '../../test/fakes/api-server.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { KubernetesSource } from '../sources/kubernetes.ts'
import type { Snapshot } from '../sources/snapshot.ts'
import { CONTROLLER_REVISIONS, ENDPOINT_SLICES, LEASES, MODEL_ROUTES, RATE_LIMIT_POLICIES, SERVICES } from './kinds.ts'
import { Elector } from './lease.ts'
import { StatusWriter } from './status.ts'

const KINDS = [MODEL_ROUTES, RATE_LIMIT_POLICIES, SERVICES, ENDPOINT_SLICES, CONTROLLER_REVISIONS]
const MINUTE = 60_000

const route = (weight: number) => ({
  apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute',
  spec: { rules: [{ name: 'infer', backendRefs: [{ variant: 'stable', name: 'fraud', port: 8000, weight }] }] },
})

test('an API server that is away for an hour is not stormed, and is followed again once it is back: rights expired, versions gone', async (t) => {
  const server = await new FakeServer().listen()
  server.install(...KINDS, LEASES)
  const clock = new FakeClock()
  const api = server.connect(clock)
  const snapshots: Snapshot[] = []
  const led: string[] = []
  const source: KubernetesSource = new KubernetesSource({ api, clock, log: () => {}, onStatus: (uid, seen) => writer.observe(uid, seen) })
  const writer: StatusWriter = new StatusWriter({ api, clock, log: () => {}, leading: () => elector.leading, versionOf: (ref) => source.versionOf(ref) })
  const elector = new Elector({
    api, namespace: 'system', name: 'lease', identity: 'a', log: () => {}, clock,
    onStarted() {
      led.push('began')
      writer.resume()
    },
    onStopped: () => void led.push('ended'),
  })
  t.after(async () => {
    await Promise.all([source.stop(), elector.stop(), writer.stop()])
    api.close()
    await server.close()
  })
  const { metadata: { uid } } = server.put(MODEL_ROUTES, 'ml', 'kept', route(1))
  server.put(MODEL_ROUTES, 'ml', 'gone', route(1))
  await source.start((snapshot) => snapshots.push(snapshot))
  elector.start()
  await clock.until('a lead and a snapshot', () => elector.leading && snapshots.length > 0 && KINDS.every((kind) => server.watching(kind) > 0))
  const ref = { kind: 'ModelRoute', namespace: 'ml', name: 'kept', uid } as const
  const say = (weights: string) => writer.want(ref, () => ({ observedGeneration: 1, weights, conditions: [] }))
  const told = () => (server.get(MODEL_ROUTES, 'ml', 'kept')?.['status'] as { weights?: string } | undefined)?.weights
  say('before')
  await clock.until('the status', () => told() === 'before')

  server.intercept = (_, response) => {
    response.socket?.destroy()
    return true
  }
  server.cut()
  await clock.until('the lead to end', () => led.includes('ended'), { limit: 15_000 })
  say('meanwhile')
  const from = server.requests.length
  // Three minutes of it as they pass, and then the rest of the hour.
  for (let passed = 0; passed < 3 * MINUTE; passed += 2_000) {
    await clock.advance(2_000)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  const asked = server.requests.slice(from)
  const lists = asked.filter(({ path }) => !path.includes('/leases/'))
  assert.ok(lists.length <= KINDS.length * 15, `${lists.length} reads in three minutes`)
  assert.ok(asked.length - lists.length <= 120, `${asked.length - lists.length} looks at the lease in three minutes`)
  assert.ok(asked.every(({ method }) => method !== 'PATCH'), 'who does not lead writes nothing')
  clock.stall(57 * MINUTE)
  server.put(MODEL_ROUTES, 'ml', 'kept', { ...route(2), status: { weights: 'before' } }, true)
  server.remove(MODEL_ROUTES, 'ml', 'gone', true)
  server.put(MODEL_ROUTES, 'ml', 'made', route(3), true)

  let unauthorized = 10
  server.intercept = ({ what }, response) => {
    // The token ran out meanwhile; then the versions that watches would go on from are compacted away.
    if (unauthorized > 0) status(response, 401, 'Unauthorized')
    else if (what === 'watch' && gone-- > 0) status(response, 410, 'too old resource version')
    else return false
    unauthorized--
    return true
  }
  let gone = KINDS.length
  const back = server.requests.length
  const took = await clock.until('the snapshot of the present', () => {
    const now = snapshots.at(-1)?.modelRoutes
    return now?.get('ml/kept')?.object?.spec.rules[0]?.backendRefs?.[0]?.weight === 2 && now.has('ml/made') && !now.has('ml/gone')
  }, { step: 250 })
  assert.ok(took <= 60_000, `${took} ms`)
  await clock.until('the lead', () => elector.leading)
  await clock.until('the status that was due', () => told() === 'meanwhile')
  assert.deepEqual(led, ['began', 'ended', 'began'])
  const relists = server.requests.slice(back).filter(({ what }) => what === 'list')
  assert.ok(relists.length <= KINDS.length * 5, `${relists.length} lists on coming back`)
  assert.ok(snapshots.slice(1).every(({ modelRoutes }) => modelRoutes.has('ml/kept')), 'nothing was forgotten in between')
})
