import * as v from 'valibot'
import type { Script } from '../../limits/redis/script.ts'
import { script } from '../../limits/redis/script.ts'
import type { Remote } from '../../redis.ts'
import type { SharedText, TextPlace } from '../shared.ts'

/** Texts of one partition; beyond, some make room. */
const textsMax = 10_000
/** Of the nearest, how many may say other words before it is enough. */
const nearestMax = 8

/**
 * KEYS: the set of one partition. ARGV: a vector of 32-bit floats, what stands for its text, milliseconds. Vectors are kept as they are: a
 * similarity that is rounded is of no use to a threshold.
 */
const placeScript: Script = script(`
redis.call('VADD', KEYS[1], 'FP32', ARGV[1], ARGV[2], 'NOQUANT')
if redis.call('VCARD', KEYS[1]) > ${textsMax} then redis.call('VREM', KEYS[1], redis.call('VRANDMEMBER', KEYS[1])) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return ''
`)

/** KEYS: the same. ARGV: a vector. Answers the nearest as JSON: what stands for each text, and its score. */
const nearestScript: Script = script(`
if redis.call('EXISTS', KEYS[1]) == 0 then return '[]' end
return cjson.encode(redis.call('VSIM', KEYS[1], 'FP32', ARGV[1], 'WITHSCORES', 'COUNT', ${nearestMax}))
`)

const Nearest = v.array(v.string())
/** The key of the answer, in base64, and the words of the text. */
const Element = v.pipe(v.string(), v.parseJson(), v.tuple([v.string(), v.array(v.string())]))

/** Sets of vectors, where the server has them (Redis 8). One that has not is asked once, and is as good as one that knows no text. */
export class Vectors {
  readonly #say: (message: string) => void
  #lacking = false

  constructor(say: (message: string) => void) {
    this.#say = say
  }

  get lacking(): boolean {
    return this.#lacking
  }

  async nearest(client: Remote, at: string, vector: Float32Array): Promise<readonly SharedText[]> {
    const said = await this.#ask(() => client.call(nearestScript, [at], [bytesOf(vector)]))
    const flat = said && v.safeParse(v.pipe(v.string(), v.parseJson(), Nearest), said.toString())
    if (flat?.success !== true) return []
    const found: SharedText[] = []
    for (let i = 0; i + 1 < flat.output.length; i += 2) {
      const element = v.safeParse(Element, flat.output[i])
      // The score of the same direction is 1, and of the opposite one 0.
      const similarity = Number(flat.output[i + 1]) * 2 - 1
      if (element.success && Number.isFinite(similarity)) found.push({ key: Buffer.from(element.output[0], 'base64').toString('latin1'), words: element.output[1], similarity })
    }
    return found
  }

  async place(client: Remote, at: string, { words, vector }: TextPlace, key: string, ttl: number): Promise<void> {
    const element = JSON.stringify([Buffer.from(key, 'latin1').toString('base64'), words])
    await this.#ask(() => client.call(placeScript, [at], [bytesOf(vector), element, String(Math.ceil(ttl))]))
  }

  async #ask(question: () => Promise<Buffer>): Promise<Buffer | undefined> {
    try {
      return await question()
    } catch (error) {
      const why = error instanceof Error ? error.message : ''
      if (/unknown (?:redis )?command/i.test(why)) {
        if (!this.#lacking) this.#say('the store of answers has no sets of vectors; each proxy compares the texts that it knows')
        this.#lacking = true
      // Another model's vectors: they are of no use until they are forgotten.
      } else if (!/dimension/i.test(why)) throw error
      return undefined
    }
  }
}

const bytesOf = (vector: Float32Array) => Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength)
