import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import test from 'node:test'
import { streamLink } from '../../table/link.ts'
import { encode, FromProxy as FromProxySchema, type FromProxy } from '../../table/messages.ts'
import { until } from '../../test/push/rig.ts'
import { fleets, route } from '../../test/push/table.ts'
import { Publisher } from './publish.ts'
import { Turns } from './turns.ts'

const table = (weight: number) => fleets(Array.from({ length: 600 }, (_, i) => route(`ml/r${i}`, weight)), [])

/** A proxy whose stream takes a part when it is told to, and holds what it was given until then. */
function reader(publisher: Publisher, node: string) {
  const held = new Set<Buffer>()
  const waiting: (() => void)[] = []
  const messages: { type: string; version: string; base?: string; upsert?: unknown[] }[] = []
  let text = ''
  let reading = false
  let closed: string | undefined
  const stream: Duplex = new Duplex({
    read() {},
    write(chunk: Buffer, _, done) {
      held.add(chunk)
      const take = () => {
        held.delete(chunk)
        text += chunk.toString()
        if (text.endsWith('\n')) {
          messages.push(JSON.parse(text))
          text = ''
        }
        done()
      }
      if (reading) setImmediate(take)
      else waiting.push(take)
    },
    // All that waits, as a socket is given it.
    highWaterMark: 1,
  })
  const link = streamLink(stream, { schema: FromProxySchema, maxLineBytes: 1 << 20, lingerMs: 1 })
  link.onClose((why) => (closed = why))
  const say = (message: FromProxy) => stream.push(`${encode(message)}\n`)
  publisher.accept(link, true)
  say({ type: 'hello', schema: 1, node, instance: node, gateway: 'default', subscribe: true, versions: { routes: null } })
  return {
    held, say,
    begun: () => waiting.length > 0 || text !== '' || messages.length > 0,
    closed: () => closed,
    read() {
      reading = true
      for (const take of waiting.splice(0)) take()
    },
    /** What came whole. */
    messages: () => messages,
  }
}

/** Of whole tables: the ends of lines are small. */
const memoryOf = (readers: readonly ReturnType<typeof reader>[]) => {
  const parts = readers.flatMap(({ held }) => [...held]).filter(({ length }) => length > 1)
  return { parts: parts.reduce((sum, { length }) => sum + length, 0), texts: new Set(parts.map(({ buffer }) => buffer)) }
}

test('what thirty slow readers hold of whole tables is bounded, is shared, and each gets the latest of them in its turn', async () => {
  const publisher = new Publisher({ turns: { most: 4, roundMs: 60_000 } })
  publisher.publish(table(0))
  const readers = Array.from({ length: 30 }, (_, i) => reader(publisher, `p${i}`))
  await until('turns', () => readers.filter(({ begun }) => begun()).length === 4)
  const [first, ...others] = readers.filter(({ begun }) => begun())
  const { parts, texts } = memoryOf(readers)
  assert.equal(texts.size, 1, 'the same bytes for all')
  assert.ok(parts <= 4 * 256 * 1024, `${parts} bytes handed over`)
  // Edits meanwhile make no other tables of those that wait.
  for (let weight = 1; weight <= 10; weight++) publisher.publish(table(weight))
  assert.equal(memoryOf(readers).texts.size, 1)
  const version = publisher.version('default')
  first?.read()
  await until('the next', () => readers.filter(({ begun }) => begun()).length === 5)
  assert.equal(memoryOf(readers).texts.size, 2, 'whoever comes later gets the latest')
  await until('all of the first', () => first?.messages().length === 1)
  const [{ type: one, version: old } = { type: '', version: '' }] = first?.messages() ?? []
  assert.equal(one, 'snapshot')
  assert.notEqual(old, version)
  // An edit during a snapshot comes after it, from what it was.
  first?.say({ type: 'ack', resource: 'routes', version: old, refused: [] })
  await until('the edit', () => first?.messages().length === 2)
  const last = first?.messages()[1]
  assert.deepEqual([last?.type, last?.base, last?.version, last?.upsert?.length], ['delta', old, version, 600])
  for (const each of readers) each.read()
  await until('everybody', () => readers.every((each) => each.messages().length > 0))
  for (const each of readers) {
    const [message] = each.messages()
    assert.equal(message?.type, 'snapshot')
    assert.equal(message.version, others.includes(each) || each === first ? old : version)
  }
  publisher.close()
})

test('a reader that takes nothing is cut off where others wait, and what was said during its table was not in the midst of it', async () => {
  const publisher = new Publisher({ turns: { most: 1, roundMs: 2 } })
  publisher.publish(table(0))
  const slow = reader(publisher, 'slow')
  await until('its turn', () => slow.begun())
  assert.equal(slow.closed(), undefined)
  const next = reader(publisher, 'next')
  next.read()
  await until('the one that waits', () => next.messages().length === 1)
  await until('the one that does not', () => slow.closed() !== undefined)
  assert.match(slow.closed() ?? '', /took nothing of a whole table/)
  publisher.close()
})

test('whoever leaves the queue or has left is not waited for', () => {
  const turns = new Turns({ most: 1 })
  const begun: string[] = []
  const ask = (name: string) => turns.ask(() => begun.push(name), () => assert.fail('nobody is cut off'))
  const [a, b, c] = [ask('a'), ask('b'), ask('c')]
  assert.deepEqual([a, b, c].map((turn) => turn.begun()), [true, false, false])
  b.end()
  a.end()
  a.end()
  assert.deepEqual(begun, ['c'])
  assert.equal(c.begun(), true)
})
