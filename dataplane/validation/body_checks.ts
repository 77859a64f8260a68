import { createHash } from 'node:crypto'
import { checkerOf, type Checker } from '../../table/schema/schema.ts'
import { inSlices } from '../sliced.ts'
import { checkByModel, checkBySchema, type ByModel } from './check.ts'
import { CheckTally } from './tally.ts'
import { grpcMisfits } from './tensors/grpc.ts'
import type { Takes } from './tensors/takes.ts'
import { CheckThreads } from './threads.ts'
import type { Verdict } from './verdict.ts'

/** Checks JSON by one schema: at once where that takes no time to speak of. Never rejects. */
export type SchemaCheck = (json: Buffer) => Verdict | Promise<Verdict>

/** Larger bodies are for other threads. Bytes. */
const bodyMax = 65_536
/** So are larger schemas: each part takes a tenth of a millisecond to compile. `textMax`: characters. */
const partsMax = 64
const textMax = 16_384
/** What a check may take of the thread that answers requests: steps, and milliseconds. */
const stepsMax = 50_000
const timeMax = 3

const now = () => performance.now()

/** Larger bodies are beside what a model says of itself: they are only looked through. Bytes. */
const modelBodyMax = 262_144

/** Checks bodies, at once or in other threads, and counts what came of it. */
export class BodyChecks {
  readonly tally = new CheckTally()
  readonly #threads = new CheckThreads()

  /** A schema is compiled where it is first used, and once in each thread. @param schema as the table has it */
  bySchema(tenant: string, schema: unknown): SchemaCheck {
    const text = JSON.stringify(schema)
    const key = createHash('sha256').update(text).digest('base64')
    let checker: Checker | string | undefined
    const elsewhere = (json: Buffer) => this.#threads.check({ tenant, by: { by: 'schema', key }, schema: text, json })
    return (json) => {
      if (text.length > textMax || json.length > bodyMax) return elsewhere(json)
      checker ??= checkerOf(schema)
      if (typeof checker === 'string' || checker.parts > partsMax) return elsewhere(json)
      const verdict = checkBySchema(json, checker, { steps: stepsMax, until: now() + timeMax, now })
      // Its time is up here. Elsewhere it has more.
      return verdict === 'costly' ? elsewhere(json) : verdict
    }
  }

  /** The JSON of a request or an answer beside what a model says. */
  byModel(tenant: string, json: Buffer, by: ByModel): Verdict | Promise<Verdict> {
    return json.length <= modelBodyMax ? checkByModel(json, by) : this.#threads.check({ tenant, by, json })
  }

  /** A message of gRPC beside it: of its data only the lengths are looked at. */
  messageByModel(message: Buffer, takes: Takes): Verdict | Promise<Verdict> {
    const work = grpcMisfits(message, takes)
    if (message.length > modelBodyMax) return inSlices(work, () => {})
    for (;;) {
      const { done, value } = work.next()
      if (done === true) return value
    }
  }

  close(): Promise<void> {
    return this.#threads.close()
  }
}
