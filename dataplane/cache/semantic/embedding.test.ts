import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failure } from '../../pipeline/errors.ts'
import { createEmbed, type CallModel } from './embedding.ts'

const answered = (body: string, status = 200) => ({ status, headers: [], body: Buffer.from(body), trailers: [] })
const vector = '{"data":[{"embedding":[3,4]}]}'

function setUp(answer: () => ReturnType<typeof answered> | ReturnType<typeof failure>) {
  const bodies: string[] = []
  const told: string[] = []
  const call: CallModel = async ({ body }) => {
    bodies.push(String(body))
    return answer()
  }
  const clock = { now: 0 }
  return { embed: createEmbed(call, 'e5', () => clock.now, (why) => told.push(why)), bodies, told, clock }
}

test('a vector is made as long as every other one', async () => {
  const { embed, bodies } = setUp(() => answered(vector))
  assert.deepEqual(await embed('a "cat"', undefined), Float32Array.of(0.6, 0.8))
  assert.deepEqual(bodies, ['{"model":"e5","input":"a \\"cat\\"","encoding_format":"float"}'])
})

for (const [answer, why] of [
  ['', 'its answer is no JSON'], ['{}', 'its answer has no one vector'], ['{"data":[]}', 'its answer has no one vector'],
  ['{"data":[{"embedding":[1]},{"embedding":[1]}]}', 'its answer has no one vector'], ['{"data":[{"embedding":["1"]}]}', 'its answer has no one vector'],
  ['{"data":[{"embedding":[1e999]}]}', 'its answer has no one vector'], ['{"data":[{"embedding":[]}]}', 'its vector has no direction'],
  ['{"data":[{"embedding":[0,0]}]}', 'its vector has no direction'], [`{"data":[{"embedding":[${'1,'.repeat(16_384)}1]}]}`, 'its vector has no direction'],
] as const) {
  test(`${answer.slice(0, 60)} is no vector`, async () => {
    const { embed, told } = setUp(() => answered(answer))
    assert.equal(await embed('text', undefined), undefined)
    assert.deepEqual(told, [why])
  })
}

test('a model that fails is asked again after a second, then after two, by one request at a time, and nobody waits for it meanwhile', async () => {
  let works = false
  const { embed, bodies, told, clock } = setUp(() => works ? answered(vector) : failure('timeout', 'It took too long.'))
  const asksAt = async (now: number) => {
    clock.now = now
    const before = bodies.length
    const vectors = await Promise.all([embed('a', undefined), embed('b', undefined)])
    return [bodies.length - before, vectors.filter((one) => one !== undefined).length]
  }
  assert.deepEqual(await asksAt(0), [2, 0])
  assert.deepEqual(await asksAt(999), [0, 0])
  assert.deepEqual(await asksAt(1000), [1, 0])
  assert.deepEqual(await asksAt(2999), [0, 0])
  works = true
  assert.deepEqual(await asksAt(3000), [1, 1])
  assert.deepEqual(await asksAt(3001), [2, 2])
  assert.deepEqual(told, ['It took too long.'])
})
