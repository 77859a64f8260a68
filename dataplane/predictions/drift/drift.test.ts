import assert from 'node:assert/strict'
import { test } from 'node:test'
import { framed } from '../../protocols/grpc_frames.ts'
import { writeMessage } from '../../tensors/grpc_message.ts'
import { noParameters } from '../../tensors/tensor.ts'
import type { Part, Shown } from '../body.ts'
import { distanceOfNumbers } from './distance.ts'
import { Drift } from './drift.ts'
import { summaries, type ColumnSummary } from './summary.ts'

/** Numbers that look like chance, and are the same in every run (mulberry32). */
function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let word = Math.imul(state ^ (state >>> 15), 1 | state)
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32
  }
}

const normal = (random: () => number, mean: number, deviation: number) => mean + deviation * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

const part = (more: Partial<Part> = {}): Part => ({ type: 'application/json', encoding: undefined, jsonLength: undefined, bytes: Buffer.alloc(0), size: 0, ...more })
const json = (value: unknown): Shown => ({ data: undefined, withheld: undefined, truncated: false, value, other: undefined })
const raw = (other: Buffer): Shown => ({ ...json(undefined), other })

type Saying = Readonly<{ inputs?: unknown; outputs?: unknown; asked?: Part; answered?: Part; variant?: string; order?: number; spells?: boolean }>

function take(drift: Drift, { inputs = {}, outputs = {}, asked = part(), answered = part(), variant = 'stable', order = 0, spells = true }: Saying): void {
  const shown = (value: unknown) => (Buffer.isBuffer(value) ? raw(value) : json(value))
  drift.take({ route: 'ml/fraud', rule: 'infer', variant, knownVersion: '1', asked, answered }, order, { inputs: shown(inputs), outputs: shown(outputs), spells })
}

const told = (...drifts: readonly Drift[]) => summaries(drifts.map((drift) => drift.report()))
const columns = (list: readonly ColumnSummary[] | undefined) => Object.fromEntries((list ?? []).map((column) => [column.name, column]))

test('features that move are told by their distance from what they were, and those that stay are not', () => {
  const drift = new Drift()
  const random = chance(1)
  for (let i = 0; i < 1200; i++) {
    const late = i >= 600
    take(drift, {
      inputs: { instances: [{
        same: normal(random, 50, 10), moved: normal(random, late ? 65 : 50, 10), wider: normal(random, 1.7e9, late ? 30 : 10),
        plan: random() < (late ? 0.8 : 0.2) ? 'gold' : 'free', constant: 1, yes: random() < 0.5, ...(random() < (late ? 0.6 : 0.05) ? {} : { sparse: random() }),
      }] },
      outputs: { predictions: [late ? random() ** 3 : random()] },
    })
  }
  const [{ inputs, outputs } = {}] = told(drift)
  const of = columns(inputs)
  for (const name of ['same', 'constant', 'yes']) assert.ok((of[name]?.overTime?.psi ?? 1) < 0.1, `${name} ${JSON.stringify(of[name]?.overTime)}`)
  for (const name of ['moved', 'wider', 'plan', 'sparse']) assert.ok((of[name]?.overTime?.psi ?? 0) > 0.25, `${name} ${JSON.stringify(of[name]?.overTime)}`)
  assert.ok((of['same']?.overTime?.ks ?? 1) < 0.1 && (of['moved']?.overTime?.ks ?? 0) > 0.4)
  assert.ok((columns(outputs)['value']?.overTime?.psi ?? 0) > 0.25)
  assert.ok(Math.abs((of['sparse']?.missing ?? 0) - 390) < 60)
})

test('two versions that answer alike are close, and one that answers otherwise is far, also over several processes', () => {
  const drifts = [new Drift(), new Drift()]
  const random = chance(2)
  for (let i = 0; i < 900; i++) {
    for (const [order, variant] of ['stable', 'same', 'other'].entries()) {
      take(drifts[i % 2] ?? new Drift(), { variant, order, inputs: { instances: [[random()]] }, outputs: { predictions: [{ score: variant === 'other' ? 0.2 + random() / 2 : random() }] } })
    }
  }
  const all = told(...drifts)
  assert.deepEqual(all.map(({ variant, requests, against }) => [variant, requests, against?.variant]), [['stable', 900, undefined], ['same', 900, 'stable'], ['other', 900, 'stable']])
  const [stable, same, other] = all.map(({ outputs }) => columns(outputs)['score'])
  assert.equal(stable?.between, undefined)
  assert.ok((same?.between?.psi ?? 1) < 0.1 && (other?.between?.psi ?? 0) > 0.25, JSON.stringify([same?.between, other?.between]))
  assert.ok((columns(all[2]?.inputs)['0']?.between?.psi ?? 1) < 0.1)
  const { count, mean, variance } = stable ?? {}
  assert.ok(count === 900 && Math.abs((mean ?? 0) - 0.5) < 0.03 && Math.abs((variance ?? 0) - 1 / 12) < 0.01)
})

test('few values are compared with nothing', () => {
  assert.equal(distanceOfNumbers(Array(99).fill(1) as number[], Array(500).fill(2) as number[]), undefined)
  assert.ok((distanceOfNumbers(Array(100).fill(1) as number[], Array(100).fill(2) as number[])?.psi ?? 0) > 1)
})

test('every way to write a tensor comes to the same columns', () => {
  const tensors = [{ name: 'x', datatype: 'FP32', shape: [2, 2], parameters: noParameters, data: Buffer.from(new Float32Array([1, 2, 3, 4]).buffer) }]
  const written = (side: 'inputs' | 'outputs') => framed(...writeMessage(side, { model: '', version: '', id: '', parameters: noParameters, tensors, outputs: [] }).pieces)
  const head = (side: string) => JSON.stringify({ [side]: [{ name: 'x', datatype: 'FP32', shape: [2, 2], parameters: { binary_data_size: 16 } }] })
  const ways: Saying[] = [
    { inputs: { inputs: [{ name: 'x', datatype: 'FP32', shape: [2, 2], data: [1, 2, 3, 4] }] }, outputs: { outputs: [{ name: 'x', datatype: 'FP32', shape: [2, 2], data: [[1, 2], [3, 4]] }] } },
    { inputs: written('inputs'), outputs: written('outputs'), asked: part({ type: 'application/grpc' }), answered: part({ type: 'application/grpc' }) },
    {
      inputs: Buffer.concat([Buffer.from(head('inputs')), tensors[0]!.data]), outputs: Buffer.concat([Buffer.from(head('outputs')), tensors[0]!.data]),
      asked: part({ jsonLength: String(head('inputs').length) }), answered: part({ jsonLength: String(head('outputs').length) }),
    },
  ]
  for (const way of ways) {
    const drift = new Drift()
    take(drift, way)
    const [{ inputs, outputs } = {}] = told(drift)
    for (const side of [inputs, outputs]) assert.deepEqual(side?.map(({ name, count, mean }) => [name, count, mean]), [['x/0', 2, 2], ['x/1', 2, 3]])
  }
})

test('of prompts and what is written only sizes are known, and streams say what they took', () => {
  const drift = new Drift()
  take(drift, {
    inputs: { model: 'lm', max_tokens: 5, messages: [{ role: 'system', content: 'canary' }, { role: 'user', content: [{ type: 'text', text: 'canary' }] }] },
    outputs: { choices: [{ message: { role: 'assistant', content: 'canary!' }, finish_reason: 'stop' }], usage: { prompt_tokens: 7, completion_tokens: 3 } },
  })
  take(drift, { inputs: { prompt: ['canary', 'x'] }, outputs: Buffer.from('data: {"usage":{"prompt_tokens":9,"completion_tokens":5}}\n\n'), answered: part({ type: 'text/event-stream' }) })
  const all = told(drift)
  assert.ok(!JSON.stringify(all).includes('canary'))
  const [inputs, outputs] = [columns(all[0]?.inputs), columns(all[0]?.outputs)]
  assert.deepEqual([inputs['prompt.characters']?.min, inputs['prompt.characters']?.max, inputs['messages']?.mean], [7, 12, 2])
  assert.deepEqual([outputs['prompt_tokens']?.mean, outputs['completion_tokens']?.mean, outputs['finish_reason']?.top], [8, 4, [{ value: 'stop', share: 1 }]])
})

test('where bodies are not kept, no text is', () => {
  const drift = new Drift()
  take(drift, { inputs: { instances: [{ name: 'canary' }] }, outputs: { predictions: ['canary'] }, spells: false })
  assert.ok(!JSON.stringify([drift.report(), told(drift)]).includes('canary'))
  assert.equal(told(drift)[0]?.inputs[0]?.mean, 6)
})

test('what callers make up takes bounded space, and hostile values end nothing', () => {
  const drift = new Drift()
  for (let i = 0; i < 300; i++) {
    take(drift, {
      variant: `v${i % 3}`, inputs: { instances: [{ [`made up ${i}`]: i, text: `text ${i}`, ['n'.repeat(1000)]: 1, __proto__: 5 }] },
      outputs: JSON.parse(`{"predictions":[{"__proto__":1,"constructor":2,"x":${i % 2 === 0 ? '1e308' : '"a"'}},null,[],{},[[1,"a"]]]}`) as unknown,
    })
  }
  for (const odd of [null, 5, 'x', [], [[[]]], { instances: null }, { inputs: [{ name: 'a', shape: [-1], data: [1] }] }, { inputs: [{ name: 'a', shape: [1e9, 1e9], data: [] }] }, { messages: [[[[[['x']]]]]] }]) {
    take(drift, { inputs: odd, outputs: odd })
  }
  for (const junk of ['', '\u0000\u0000\u0000\u0000\u0005ab', 'data: {"usage":{{{']) {
    for (const type of ['application/grpc', 'text/event-stream', 'application/octet-stream']) {
      take(drift, { inputs: Buffer.from(junk), outputs: Buffer.from(junk), asked: part({ type, jsonLength: '3' }), answered: part({ type }) })
    }
  }
  for (const { inputs, outputs, left } of drift.report().slice(0, 3)) {
    assert.ok(inputs.length <= 64 && outputs.length <= 64 && left > 0)
    for (const { counts, numbers } of inputs) assert.ok(counts.length <= 65 && numbers.baseline.length <= 512 && numbers.recent.length <= 512)
  }
  drift.prune('ml/fraud', new Map())
  assert.deepEqual(drift.report(), [])
})
