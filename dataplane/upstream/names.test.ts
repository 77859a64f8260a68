import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { lookupFirst, Names, type NameAddress } from './names.ts'

const at = (...addresses: string[]): NameAddress[] => addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
const settle = () => new Promise((resolve) => { setImmediate(resolve) })

/** Names whose answers are what a test says they are, and whose time is its own. */
function namesOf(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const answers: (Readonly<{ addresses: NameAddress[]; ttl: number }> | Error)[] = []
  let asked = 0
  const names = new Names(() => {
    asked++
    const answer = answers.shift() ?? new Error('no answer')
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
  })
  t.after(() => names.close())
  return {
    names,
    asked: () => asked,
    will: (addresses: NameAddress[] | Error, ttl = 10_000) => answers.push(addresses instanceof Error ? addresses : { addresses, ttl }),
    pass: (milliseconds: number) => {
      t.mock.timers.tick(milliseconds)
      return settle()
    },
  }
}

test('a name is asked for again when its answer is no longer to be believed, and who follows it hears of changes alone', async (t) => {
  const { names, will, pass, asked } = namesOf(t)
  let changes = 0
  will(at('192.0.2.1', '2001:db8::1'), 10_000)
  will(at('2001:db8::1', '192.0.2.1'), 10_000)
  will(at('192.0.2.2'), 10_000)
  const name = names.follow('models.example.com', () => { changes++ })
  await settle()
  assert.deepEqual([name.addresses.map(({ address }) => address), changes], [['192.0.2.1', '2001:db8::1'], 1])
  await pass(9999)
  assert.equal(asked(), 1)
  await pass(1)
  assert.deepEqual([asked(), changes], [2, 1], 'the same in another order is no change')
  await pass(10_000)
  assert.deepEqual([name.addresses.map(({ address }) => address), changes], [['192.0.2.2'], 2])
})

test('a resolver that fails, or knows of no address, changes nothing, and is asked again soon', async (t) => {
  const { names, will, pass, asked } = namesOf(t)
  will(at('192.0.2.1'), 60_000)
  will(new Error('SERVFAIL'))
  will(at(), 60_000)
  will(at('192.0.2.2'), 60_000)
  const name = names.follow('a.example.com', () => {})
  await settle()
  await pass(60_000)
  assert.deepEqual([asked(), name.addresses[0]?.address], [2, '192.0.2.1'])
  await pass(5000)
  assert.deepEqual([asked(), name.addresses[0]?.address], [3, '192.0.2.1'])
  await pass(60_000)
  assert.equal(name.addresses[0]?.address, '192.0.2.2')
})

test('nobody makes the gateway ask all the time, nor never again', async (t) => {
  const { names, will, pass, asked } = namesOf(t)
  will(at('192.0.2.1'), 0)
  will(at('192.0.2.1'), 86_400_000)
  names.follow('a.example.com', () => {})
  await settle()
  await pass(4999)
  assert.equal(asked(), 1)
  await pass(1)
  assert.equal(asked(), 2)
  await pass(300_000)
  assert.equal(asked(), 3)
})

test('of a thousand names each is asked for less often', async (t) => {
  const { names, will, pass, asked } = namesOf(t)
  for (let n = 0; n < 1000; n++) {
    will(at('192.0.2.1'), 5000)
    names.follow(`${n}.example.com`, () => {})
  }
  await settle()
  await pass(19_999)
  assert.equal(asked(), 1000)
  await pass(1)
  assert.equal(asked(), 2000)
})

test('who follows the same name shares its answers; the last that lets go ends the asking', async (t) => {
  const { names, will, pass, asked } = namesOf(t)
  const [one, two] = [() => {}, () => {}]
  will(at('192.0.2.1'))
  const name = names.follow('a.example.com', one)
  assert.equal(names.follow('a.example.com', two), name)
  await settle()
  names.release('a.example.com', one)
  await pass(10_000)
  assert.equal(asked(), 2)
  names.release('a.example.com', two)
  await pass(600_000)
  assert.equal(asked(), 2)
})

test('a connection is for one address first, and then for others of the name, a few of them', () => {
  const addresses = at('192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4', '192.0.2.5')
  lookupFirst(addresses[2]!, { addresses })('a', { all: true }, (_error, found) => {
    assert.deepEqual(found.map(({ address }) => address.at(-1)), ['3', '1', '2', '4'])
  })
})
