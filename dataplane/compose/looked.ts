import { readJson } from '../../table/values.ts'
import type { FlatHeaders } from '../pipeline/headers.ts'
import { partOf } from '../shape/part.ts'

/** Bytes of JSON that the expressions of one request look into, all together: it takes some times as much memory, read. */
const lookedMax = 4_194_304

/** Reads what expressions look into, each once, when it comes: all of it at once would keep others waiting. */
export class Looked {
  #left = lookedMax

  /** The JSON of a body, without the tensors behind it; null where there is none. Throws what is wrong with it. */
  at(headers: Readonly<FlatHeaders>, body: Buffer): unknown {
    const json = partOf(headers, body)?.json
    if (json === undefined) throw new Error('it is a tensor, and not JSON')
    if (json.length === 0) return null
    if (json.length > this.#left) throw new Error(`it is more than the ${lookedMax} bytes that expressions look into`)
    this.#left -= json.length
    return readJson(json)
  }
}
