import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { backoff } from './backoff.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeServer, json, status } from '../../test/fakes/api-server.ts'
import type { Api, RawObject } from './api.ts'
import type { Change } from './change.ts'
import { SERVICES as KIND } from './kinds.ts'
import { Reflector } from './reflector.ts'
import type { ReflectorOptions } from './reflector_options.ts'

type Line = Readonly<{ level: string; msg: string; fields: Readonly<Record<string, unknown>> | undefined }>

describe('a reflector', () => {
  let server: FakeServer
  let clock: FakeClock
  let api: Api
  let reflector: Reflector<unknown>
  let changes: Change<unknown>[]
  let synced: number
  let log: Line[]

  beforeEach(async () => {
    server = await new FakeServer().listen()
    server.install(KIND)
    clock = new FakeClock()
    api = server.connect(clock)
    changes = []
    log = []
    synced = 0
  })

  afterEach(async () => {
    await reflector.stop()
    api.close()
    await server.close()
  })

  function begin(more: Partial<ReflectorOptions<unknown>> = {}): void {
    reflector = new Reflector<unknown>({
      api,
      kind: KIND,
      keep: object => object['spec'],
      onChange: some => changes.push(...some),
      onSynced: () => { synced++ },
      log: (level, msg, fields) => log.push({ level, msg, fields }),
      clock,
      random: () => 0.5,
      ...more,
    })
    reflector.start()
  }

  const keys = () => [...reflector.items.keys()].sort()
  const watching = () => clock.until('a watch', () => server.watching(KIND) === 1)
  const failing = (until: number, code: number) => {
    let left = until
    server.intercept = (request, response) => {
      if (request.what === 'write' || left-- <= 0) return false
      status(response, code, `scripted ${code}`)
      return true
    }
  }

  test('reads every page, and reports the whole list at once', async () => {
    for (let i = 0; i < 7; i++) server.put(KIND, 'ml', `s${i}`, { spec: i })
    server.page = 3
    const sizes: number[] = []
    begin({ onChange: some => sizes.push(some.length) })
    await clock.until('sync', () => synced === 1)
    assert.deepEqual(sizes, [7])
    assert.equal(reflector.items.size, 7)
    assert.deepEqual(server.requests.slice(0, 3).map(({ query }) => [query.get('limit'), query.get('continue')]), [
      ['500', null], ['500', '3'], ['500', '6'],
    ])
  })

  test('starts the list anew when the server forgets it half-way, and keeps nothing of the first half', async () => {
    for (const name of ['a', 'b', 'c']) server.put(KIND, 'ml', name)
    server.page = 2
    let once = true
    server.intercept = (request, response) => {
      if (request.query.get('continue') !== '2' || !once) return false
      once = false
      server.remove(KIND, 'ml', 'a')
      status(response, 410, 'The provided continue parameter is too old')
      return true
    }
    begin()
    await clock.until('sync', () => synced === 1)
    assert.deepEqual(keys(), ['ml/b', 'ml/c'])
  })

  test('asks for smaller pages when a page is too large to hold', async () => {
    const limits: unknown[] = []
    const small: Api = {
      ...api,
      call: call => {
        limits.push(call.query?.['limit'])
        return Number(call.query?.['limit']) > 40
          ? Promise.resolve({ status: 0, body: undefined, message: 'too large', tooLarge: true as const })
          : api.call(call)
      },
    }
    server.put(KIND, 'ml', 'a')
    begin({ api: small })
    await clock.until('sync', () => synced === 1)
    assert.deepEqual(limits, [500, 125, 32])
  })

  test('reports what a watch brings: added, changed, deleted', async () => {
    begin()
    await watching()
    server.put(KIND, 'ml', 'a', { spec: 1 })
    server.put(KIND, 'ml', 'a', { spec: 2 })
    server.remove(KIND, 'ml', 'a')
    await clock.until('three changes', () => changes.length === 3)
    assert.deepEqual(changes, [
      { key: 'ml/a', after: 1 }, { key: 'ml/a', before: 1, after: 2 }, { key: 'ml/a', before: 2 },
    ])
  })

  test('a list that fails is tried again', async () => {
    server.put(KIND, 'ml', 'a')
    failing(3, 500)
    begin()
    await clock.until('sync', () => synced === 1)
    assert.deepEqual(keys(), ['ml/a'])
    assert.equal(server.count('list'), 4)
  })

  test('an API server that is away at the start is waited for', async () => {
    const requests = server
    server.intercept = (_request, response) => {
      if (requests.requests.length > 3) return false
      response.destroy()
      return true
    }
    begin()
    await clock.until('sync', () => synced === 1)
    assert.equal(log[0]?.level, 'warn')
  })

  test('a reset connection is taken up where it broke, without a list', async () => {
    begin()
    await watching()
    server.put(KIND, 'ml', 'a')
    await clock.until('a', () => keys().length === 1)
    server.cut()
    server.put(KIND, 'ml', 'b')
    await clock.until('b', () => keys().length === 2)
    assert.equal(server.count('list'), 1)
    assert.equal(server.count('watch'), 2)
  })

  test('a line cut by the reset is no event, and comes again', async () => {
    begin()
    await watching()
    server.intercept = (request, response) => {
      if (request.what !== 'watch') return false
      server.intercept = undefined
      response.writeHead(200).write('{"type":"ADDED","object":{"metadata":{"name":"half"')
      setImmediate(() => response.destroy())
      return true
    }
    server.cut()
    server.put(KIND, 'ml', 'whole')
    await clock.until('the event', () => keys().length === 1)
    assert.deepEqual(keys(), ['ml/whole'])
    assert.equal(server.count('list'), 1)
  })

  test('a version that expired, said as HTTP 410, leads to one new list', async () => {
    begin()
    await watching()
    server.intercept = (request, response) => {
      if (request.what !== 'watch') return false
      server.intercept = undefined
      status(response, 410, 'too old resource version')
      return true
    }
    server.cut()
    server.put(KIND, 'ml', 'a')
    await clock.until('a', () => keys().length === 1)
    assert.equal(server.count('list'), 2)
  })

  test('a version that expired, said as an ERROR event, leads to one new list', async () => {
    begin()
    await watching()
    server.put(KIND, 'ml', 'missed', {}, true)
    server.say(KIND, JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, message: 'too old' } }))
    await clock.until('the object', () => keys().length === 1)
    assert.equal(server.count('list'), 2)
  })

  test('garbage in the stream loses an event, so everything is listed again', async () => {
    for (const garbage of ['{"type":', '[]', '{"type":"ADDED"}', '{"type":"FUTURE","object":{}}', 'null']) {
      changes = []
      begin()
      await watching()
      const lists = server.count('list')
      server.put(KIND, 'ml', 'missed', {}, true)
      server.say(KIND, garbage)
      await clock.until(`recovery from ${garbage}`, () => keys().length === 1)
      assert.equal(server.count('list'), lists + 1, garbage)
      await reflector.stop()
      server.remove(KIND, 'ml', 'missed', true)
      await clock.until('the end of the watch', () => server.watching(KIND) === 0)
    }
  })

  test('deleted and created again while nobody watched is an end and a beginning, not a change', async () => {
    server.put(KIND, 'ml', 'a', { spec: 'old' })
    begin()
    await watching()
    server.remove(KIND, 'ml', 'a', true)
    server.put(KIND, 'ml', 'a', { spec: 'new' }, true)
    server.say(KIND, '{"type":"ERROR","object":{"code":410}}')
    await clock.until('the changes', () => changes.length === 3)
    assert.deepEqual(changes.slice(1), [{ key: 'ml/a', before: 'old' }, { key: 'ml/a', after: 'new' }])
  })

  test('the late end of an earlier object does not delete the one that replaced it', async () => {
    const old = server.put(KIND, 'ml', 'a', { spec: 'old' }, true)
    server.remove(KIND, 'ml', 'a', true)
    server.put(KIND, 'ml', 'a', { spec: 'new' }, true)
    begin()
    await watching()
    server.say(KIND, JSON.stringify({ type: 'DELETED', object: old }))
    server.put(KIND, 'ml', 'b')
    await clock.until('b', () => keys().includes('ml/b'))
    assert.deepEqual(keys(), ['ml/a', 'ml/b'])
  })

  test('bookmarks move the version to go on from, and change nothing else', async () => {
    begin()
    await watching()
    server.advance(777)
    server.say(KIND, JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '777' } } }))
    await clock.advance(10)
    server.cut()
    await clock.until('the next watch', () => server.count('watch') === 2)
    assert.equal(server.requests.at(-1)?.query.get('resourceVersion'), '777')
    assert.equal(server.requests.at(-1)?.query.get('allowWatchBookmarks'), 'true')
    assert.deepEqual(changes, [])
  })

  test('a history that was set back is read anew, also where a version of it was given again to something else', async () => {
    server.put(KIND, 'ml', 'a', { spec: 'kept' })
    const restore = server.backup()
    const backs: string[] = []
    begin({ onSetBack: (from, to) => backs.push(`${from} to ${to}`) })
    await watching()
    server.put(KIND, 'ml', 'a', { spec: 'lost' })
    server.put(KIND, 'ml', 'b', { spec: 'lost' })
    await clock.until('both', () => keys().length === 2)
    restore()
    // The version that the lost edit had.
    server.put(KIND, 'ml', 'a', { spec: 'new' }, true)
    server.cut()
    await clock.until('the restored state', () => keys().length === 1)
    assert.equal(reflector.items.get('ml/a')?.value, 'new')
    assert.deepEqual(backs, ['103 to 102'])
    assert.equal(server.count('list'), 2)
    await watching()
    server.put(KIND, 'ml', 'c')
    await clock.until('what follows', () => keys().length === 2)
  })

  test('a silent watch is taken for dead after its deadline, and replaced without a list', async () => {
    begin({ idle: 90_000 })
    await watching()
    const took = await clock.until('the next watch', () => server.count('watch') === 2, { step: 1_000 })
    assert.ok(took >= 88_000 && took <= 95_000, `${took} ms`)
    assert.equal(server.count('list'), 1)
  })

  test('a watch whose headers never come does not hold the loop for ever', async () => {
    server.intercept = request => request.what === 'watch' && server.count('watch') === 1
    begin()
    await clock.until('the second watch', () => server.count('watch') === 2, { step: 1_000 })
  })

  test('watches end by themselves at a time that differs from one to the next', async () => {
    let random = 0
    begin({ random: () => (random += 0.3) % 1, idle: 1_000_000 })
    await watching()
    server.cut()
    await clock.until('the second watch', () => server.count('watch') === 2)
    const seconds = server.requests.filter(({ what }) => what === 'watch').map(({ query }) => Number(query.get('timeoutSeconds')))
    assert.ok(seconds.every(value => value >= 300 && value <= 600), String(seconds))
    assert.notEqual(seconds[0], seconds[1])
  })

  test('a kind that does not exist is empty, and seen within 10 s once it does', async () => {
    server.uninstall(KIND)
    begin()
    await clock.until('sync', () => synced === 1)
    await clock.advance(300_000)
    server.install(KIND)
    server.put(KIND, 'ml', 'a')
    const took = await clock.until('the object', () => reflector.items.size === 1, { step: 100 })
    assert.ok(took <= 10_200, `${took} ms`)
    assert.equal(synced, 1)
  })

  test('a kind that must exist is unread until it does', async () => {
    server.uninstall(KIND)
    begin({ required: true })
    await clock.until('some tries', () => server.count('list') > 3)
    assert.equal(synced, 0)
    assert.match(String(log[0]?.msg), /services is not installed in the cluster: apply its CRD/)
    server.install(KIND)
    await clock.until('sync', () => synced === 1)
  })

  test('a kind that is removed empties, though not because of a moment of 404', async () => {
    server.put(KIND, 'ml', 'a')
    begin()
    await watching()
    const began = clock.now()
    let gone = 0
    server.uninstall(KIND)
    await clock.until('the end of a', () => {
      gone = clock.now()
      return reflector.items.size === 0
    }, { step: 20 })
    assert.ok(gone - began >= 5_000, `${gone - began} ms`)
    assert.deepEqual(changes.at(-1), { key: 'ml/a', before: undefined })
  })

  test('a moment of 404 empties nothing', async () => {
    server.put(KIND, 'ml', 'a')
    begin()
    await watching()
    failing(3, 404)
    server.cut()
    await clock.until('the list that succeeds', () => server.count('list') === 4)
    await watching()
    assert.equal(changes.length, 1)
  })

  test('missing rights are named once, and once more when they come', async () => {
    failing(5, 403)
    begin({ namespace: 'ml' })
    await clock.until('sync', () => synced === 1)
    assert.deepEqual(log.map(({ level, msg }) => [level, msg]), [
      ['error', 'may not read services in namespace ml: grant list and watch on it to the service account'],
      ['info', 'reading services in namespace ml again'],
    ])
    assert.equal(log[0]?.fields?.['error'], '403 scripted 403')
  })

  test('a handler that throws stops nothing', async () => {
    begin({ onChange: () => { throw new Error('handler') }, onSynced: () => { throw new Error('synced') } })
    await watching()
    server.put(KIND, 'ml', 'a')
    server.put(KIND, 'ml', 'b')
    await clock.until('both', () => reflector.items.size === 2)
    assert.ok(log.some(({ msg }) => msg === 'a handler failed'))
  })

  test('an object that cannot be read leaves the last one that could, and the others', async () => {
    begin({
      keep: (object: RawObject) => {
        if (object['spec'] === 'bad') throw new Error('unreadable')
        return object['spec']
      },
    })
    await watching()
    server.put(KIND, 'ml', 'a', { spec: 'good' })
    server.put(KIND, 'ml', 'a', { spec: 'bad' })
    server.put(KIND, 'ml', 'b', { spec: 'good' })
    await clock.until('b', () => keys().includes('ml/b'))
    assert.equal(reflector.items.get('ml/a')?.value, 'good')
  })

  test('the store changes as a whole: a handler sees all of a list or nothing', async () => {
    for (const name of ['a', 'b']) server.put(KIND, 'ml', name)
    const seen: string[][] = []
    begin({ onChange: () => seen.push(keys()) })
    await watching()
    server.remove(KIND, 'ml', 'a', true)
    server.put(KIND, 'ml', 'c', {}, true)
    server.say(KIND, '{"type":"ERROR","object":{"code":410}}')
    await clock.until('the second list', () => seen.length === 2)
    assert.deepEqual(seen, [['ml/a', 'ml/b'], ['ml/b', 'ml/c']])
  })

  test('what the watch missed is found by the list beside it, within 12 minutes', async () => {
    begin({ idle: 10_000_000 })
    await watching()
    server.put(KIND, 'ml', 'missed', {}, true)
    const took = await clock.until('the object', () => reflector.items.size === 1, { step: 5_000, limit: 800_000 })
    assert.ok(took >= 590_000 && took <= 720_000, `${took} ms`)
    assert.ok(log.some(({ fields }) => String(fields?.['error']).includes('the watch missed 1 changes, ml/missed among them')))
  })

  test('the list beside the watch disturbs nothing when nothing was missed', async () => {
    server.put(KIND, 'ml', 'a')
    begin({ idle: 10_000_000 })
    await watching()
    await clock.until('the second list', () => server.count('list') === 2, { step: 5_000, limit: 800_000 })
    // An event that the list already shows, but the watch brings a second later.
    const late = server.put(KIND, 'ml', 'late', {}, true)
    await clock.until('the third list', () => server.count('list') === 3, { step: 5_000, limit: 800_000 })
    server.say(KIND, JSON.stringify({ type: 'ADDED', object: late }))
    await clock.until('it', () => reflector.items.size === 2, { step: 10 })
    await clock.advance(10_000)
    assert.equal(server.count('list'), 3)
    assert.equal(server.count('watch'), 1)
    assert.equal(log.length, 0)
  })

  test('a server that restarts is met soon after it answers, whatever it says on the way', async () => {
    server.put(KIND, 'ml', 'a')
    begin()
    await watching()
    await clock.advance(40_000)
    let answers: readonly number[] = [0, 0, 0, 0, 403, 503, 429, 410]
    let answering = 0
    server.intercept = (_request, response) => {
      const [code, ...rest] = answers
      if (code === undefined) return false
      answers = rest
      if (code !== 0 && answering === 0) answering = clock.now()
      if (code === 0) response.destroy()
      else status(response, code, 'starting')
      return true
    }
    server.cut()
    server.put(KIND, 'ml', 'b', {}, true)
    await clock.until('b', () => keys().length === 2)
    assert.ok(clock.now() - answering <= 6_000, `${clock.now() - answering} ms`)
    assert.equal(server.count('list'), 2)
  })

  test('a server that ends every watch is not stormed', async () => {
    for (const answer of ['410', 'end', 'reset'] as const) {
      server.requests.length = 0
      server.intercept = (request, response) => {
        if (request.what !== 'watch') return false
        if (answer === '410') status(response, 410, 'too old')
        else if (answer === 'end') json(response, 200, undefined)
        else response.destroy()
        return true
      }
      begin()
      await clock.until('some watches', () => server.count('watch') >= 3)
      await clock.advance(0)
      const began = clock.now()
      await clock.until('two minutes', () => clock.now() - began > 120_000, { step: 500 })
      assert.ok(server.requests.length <= 24, `${server.requests.length} requests after ${answer}`)
      if (answer !== '410') assert.equal(server.count('list'), 1, answer)
      await reflector.stop()
    }
  })
})

test('waits double from 0.8 s to 30 s, differ, and start with next to none', () => {
  const least = [0, 1, 2, 3, 4, 5, 6, 60].map(failures => backoff(failures, undefined, () => 0))
  const most = [0, 1, 2, 3, 4, 5, 6, 60].map(failures => backoff(failures, undefined, () => 1))
  assert.deepEqual(least, [0, 800, 1_600, 3_200, 6_400, 12_800, 15_000, 15_000])
  assert.deepEqual(most, [100, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000])
  assert.equal(backoff(9, 10_000, () => 1), 10_000)
})
