import type { Algorithm } from '../../../table/limits.ts'
import type { Take, Verdict } from '../limiter.ts'

/** What goes to the scripts and comes back: little-endian doubles, which Lua's `struct` reads without making strings. */

const kinds = { FixedWindow: 1, SlidingWindow: 2, TokenBucket: 3, SlidingLog: 4, Concurrency: 5 } as const

/** Beyond it a reservation that was not renewed is given back: its proxy is dead. Milliseconds. */
export const LEASE = 15_000

const HEADER = 3
const TAKE = 7
const OPERATION = 9

function describe(frame: Buffer, at: number, algorithm: Algorithm, amount: number): number {
  frame.writeDoubleLE(kinds[algorithm.type], at)
  frame.writeDoubleLE(algorithm.type === 'Concurrency' || algorithm.window === 'month' ? 0 : algorithm.window, at + 8)
  frame.writeDoubleLE(amount, at + 16)
  frame.writeDoubleLE(algorithm.type === 'TokenBucket' ? algorithm.burst : 0, at + 24)
  return at + 32
}

function begin(doubles: number, time: number, count: number): Buffer {
  const frame = Buffer.allocUnsafe((HEADER + doubles) * 8)
  frame.writeDoubleLE(time, 0)
  frame.writeDoubleLE(LEASE, 8)
  frame.writeDoubleLE(count, 16)
  return frame
}

/** What one request asks. `sequence` comes back with the answer. */
export type Question = Readonly<{ takes: readonly Take[]; sequence: number }>

/** @param time 0: the time of Redis. Tests set another. */
export function takeFrame(questions: readonly Question[], time: number): Buffer {
  let doubles = 0
  for (const { takes } of questions) doubles += 2 + takes.length * TAKE
  const frame = begin(doubles, time, questions.length)
  let at = HEADER * 8
  for (const { takes, sequence } of questions) {
    frame.writeDoubleLE(sequence, at)
    at = frame.writeDoubleLE(takes.length, at + 8)
    for (const { algorithm, amount, units, shadow, hold } of takes) {
      at = describe(frame, at, algorithm, amount)
      frame.writeDoubleLE(units, at)
      frame.writeDoubleLE(shadow ? 1 : 0, at + 8)
      at = frame.writeDoubleLE(hold ? 1 : 0, at + 16)
    }
  }
  return frame
}

export type Taken = Readonly<{ allowed: boolean; verdicts: readonly Verdict[]; where: readonly number[] }>

/** In the order of the questions. Undefined: that is not the answer to these. */
export function readTaken(answer: Buffer, questions: readonly Question[]): readonly Taken[] | undefined {
  const all: Taken[] = []
  let at = 0
  for (const { takes, sequence } of questions) {
    const end = at + (2 + 5 * takes.length) * 8
    if (answer.length < end || answer.readDoubleLE(at) !== sequence) return undefined
    const allowed = answer.readDoubleLE(at + 8) === 1
    const verdicts: Verdict[] = []
    const where: number[] = []
    for (at += 16; at < end; at += 40) {
      verdicts.push({
        allows: answer.readDoubleLE(at) === 1,
        remaining: answer.readDoubleLE(at + 8),
        resetAfter: answer.readDoubleLE(at + 16),
        retryAfter: answer.readDoubleLE(at + 24),
      })
      where.push(answer.readDoubleLE(at + 32))
    }
    all.push({ allowed, verdicts, where })
  }
  return at === answer.length ? all : undefined
}

/** One change of one count; `numbers` as `applyScript` says. */
export type Operation = Readonly<{
  op: number
  key: string
  algorithm: Algorithm
  amount: number
  numbers: readonly [number, number, number, number]
  /** The name of a reservation. */
  id: string
}>

export function applyFrame(operations: readonly Operation[], time: number): Buffer {
  const frame = begin(operations.length * OPERATION, time, operations.length)
  let at = HEADER * 8
  for (const { op, algorithm, amount, numbers } of operations) {
    frame.writeDoubleLE(op, at)
    at = describe(frame, at + 8, algorithm, amount)
    for (const number of numbers) at = frame.writeDoubleLE(number, at)
  }
  return frame
}
