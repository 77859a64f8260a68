import { Batch, type Member } from './batch.ts'
import type { Batching } from '../../table/batching.ts'
import type { BatchCall } from './batch.ts'

/** Bytes of requests of one rule that wait or are on their way together, and how many of them. Beyond it each goes alone. */
const heldMax = 67_108_864
const membersMax = 10_000
/** Bytes of one call: what is more is a call of its own. */
const callMax = 4_194_304

/** Calls that came to nothing one after the other, after which those of a kind go alone, and for how long. Milliseconds. */
const failuresMax = 3
const apartFor = 10_000
const kindsMax = 1000

/** The calls of one rule that are being put together. */
export class Batches {
  readonly #terms: Batching
  /** Those that wait for more, by what must be the same in one call. */
  readonly #open = new Map<string, Batch>()
  /** Kinds that could not be joined lately. `until`: they go alone until then. */
  readonly #failing = new Map<string, { failures: number; until: number }>()
  #bytes = 0
  #members = 0

  constructor(terms: Batching) {
    this.#terms = terms
  }

  /** Why a request goes alone, whatever else comes; undefined: it may wait for others. */
  bars(key: string, { rows, bytes }: Readonly<{ rows: number; bytes: number }>, now: number): string | undefined {
    if (rows >= this.#terms.maxSize) return 'it fills a call by itself'
    if (this.#members >= membersMax || this.#bytes + bytes > heldMax) return 'as many wait as may'
    const until = this.#failing.get(key)?.until ?? 0
    return until > now ? 'calls like it could not be joined lately' : undefined
  }

  /** @param call how those under this key are called */
  add(key: string, member: Member, call: BatchCall): void {
    const { maxSize, maxDelay } = this.#terms
    let batch = this.#open.get(key)
    if (batch !== undefined && (batch.rows + member.single.rows > maxSize || batch.bytes + member.bytes > callMax)) {
      this.#send(key, batch)
      batch = undefined
    }
    if (batch === undefined) {
      const begun = new Batch(call)
      batch = begun
      this.#open.set(key, begun)
      begun.timer = setTimeout(() => this.#send(key, begun), maxDelay)
    }
    this.#members++
    this.#bytes += member.bytes
    batch.add(member)
    if (batch.rows >= maxSize) this.#send(key, batch)
  }

  /** A client left, or waited long enough. */
  leave(key: string, member: Member): void {
    const batch = member.batch
    batch?.remove(member)
    if (batch?.size === 0 && this.#open.get(key) === batch) {
      clearTimeout(batch.timer)
      this.#open.delete(key)
    }
  }

  /** It has its answer, or does not wait for one any more. */
  release({ bytes }: Member): void {
    this.#members--
    this.#bytes -= bytes
  }

  #send(key: string, batch: Batch): void {
    clearTimeout(batch.timer)
    if (this.#open.get(key) === batch) this.#open.delete(key)
    void batch.send().then((outcome) => this.#remember(key, outcome))
  }

  #remember(key: string, outcome: 'joined' | 'apart' | undefined): void {
    if (outcome === 'joined') this.#failing.delete(key)
    if (outcome !== 'apart') return
    const failures = (this.#failing.get(key)?.failures ?? 0) + 1
    if (this.#failing.size >= kindsMax) this.#failing.clear()
    this.#failing.set(key, { failures, until: failures < failuresMax ? 0 : performance.now() + apartFor })
  }
}
