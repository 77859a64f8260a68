import type { StepRecord } from '../pipeline/parts.ts'
import { partOf } from '../shape/part.ts'
import type { Made } from '../upstream/served.ts'
import type { Content } from './asks.ts'
import type { Calls } from './calls.ts'
import { messageOf, StepFailed, whyOf } from './failed.ts'
import type { BuiltStep, Input } from './graph.ts'
import { Looked } from './looked.ts'

/** Items of a list. */
const itemsMax = 1024

type Terms = Readonly<{
  calls: Calls
  content(input: Input, item: Readonly<{ item: unknown; index: number }>): Content | Promise<Content>
  /** Undefined: no expression looks into the answers. */
  looked: Looked | undefined
  late(): boolean
}>

/**
 * Makes a call for each item of a list, so many at a time: the answer is the list of the answers. Where the step is let
 * fail, null stands for an item whose call has; the step has failed where all have.
 */
export async function eachItem(step: BuiltStep, items: unknown, record: StepRecord, { calls, content, looked, late }: Terms): Promise<Readonly<{ made: Made; values: readonly unknown[] }>> {
  if (!Array.isArray(items)) throw new StepFailed('forEach gives no list')
  if (items.length > itemsMax) throw new StepFailed(`forEach gives ${items.length} items, and ${itemsMax} are what is gone through`)
  const values: unknown[] = items.map(() => null)
  const texts: Buffer[] = items.map(() => none)
  let failed: unknown
  let failures = 0
  let next = 0
  const work = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      try {
        const { headers, body } = await answered(step, await content(step.input, { item: items[index], index }), record, calls)
        // What is put into a list must be a value, so that it cannot make another list of it.
        const value = (looked ?? new Looked()).at(headers, body)
        if (body.length > 0) texts[index] = body
        if (looked !== undefined) values[index] = value
      } catch (error) {
        if (!step.skips || calls.signal.aborted) throw error
        failed = error
        failures++
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(step.maxParallel, items.length) }, work))
  if (failures > 0 && (failures === items.length || late())) throw failed
  if (failures > 0) record.why = `${failures} of ${items.length} failed: ${messageOf(failed)}`
  const body = Buffer.concat([Buffer.from('['), ...texts.flatMap((text, at) => (at === 0 ? [text] : [comma, text])), Buffer.from(']')])
  return { made: { status: 200, headers: ['content-type', 'application/json'], body }, values }
}

const none = Buffer.from('null')
const comma = Buffer.from(',')

async function answered(step: BuiltStep, content: Content, record: StepRecord, calls: Calls): Promise<Made> {
  const outcome = await calls.call(step, content, record)
  if ('code' in outcome) throw new StepFailed(whyOf(outcome))
  if ('open' in outcome || outcome.status < 200 || outcome.status > 299) throw new StepFailed(`status ${outcome.status}`)
  if (partOf(outcome.headers, outcome.body)?.rest !== undefined) throw new StepFailed('an answer with tensors behind its JSON has no place in a list')
  return outcome
}
