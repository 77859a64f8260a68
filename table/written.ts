/** Values that are written in one go: some tenths of a millisecond. */
const stretch = 4096
/** Characters of a text that take the time of one value. */
const textUnit = 64

/** JSON as `JSON.stringify` writes it, of what may be long: after each stretch whoever asked for it may let others go first. */
export function* written(value: unknown): Generator<undefined, string> {
  if (sizeOf(value) <= stretch) return JSON.stringify(value)
  const pieces: string[] = []
  yield* put(value, pieces)
  return pieces.join('')
}

/** What is larger than a stretch. */
function* put(value: unknown, pieces: string[]): Generator<undefined, void> {
  if (Array.isArray(value)) yield* putList(value, pieces)
  else if (typeof value === 'object' && value !== null) yield* putObject(value, pieces)
  else pieces.push(JSON.stringify(value))
}

function* putList(list: readonly unknown[], pieces: string[]): Generator<undefined, void> {
  let mark = '['
  /** Where those begin that are not written yet, and what they come to. */
  let from = 0
  let size = 0
  const putRun = (to: number): void => {
    if (to > from) {
      pieces.push(mark, JSON.stringify(list.slice(from, to)).slice(1, -1))
      mark = ','
    }
    from = to
    size = 0
  }
  for (let at = 0; at < list.length; at++) {
    const one = sizeOf(list[at])
    size += one
    if (size <= stretch) continue
    putRun(one > stretch ? at : at + 1)
    if (one > stretch) {
      pieces.push(mark)
      mark = ','
      yield* put(list[at], pieces)
      from = at + 1
    }
    yield
  }
  putRun(list.length)
  pieces.push(']')
}

function* putObject(object: object, pieces: string[]): Generator<undefined, void> {
  let mark = '{'
  let size = 0
  for (const [name, value] of Object.entries(object)) {
    pieces.push(mark, JSON.stringify(name), ':')
    mark = ','
    const one = sizeOf(value)
    size += one
    if (one > stretch) yield* put(value, pieces)
    else pieces.push(JSON.stringify(value))
    if (size <= stretch) continue
    size = 0
    yield
  }
  pieces.push('}')
}

/** How many values, itself among them; of more than a stretch, some number beyond. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return 1 + value.length / textUnit
  if (typeof value !== 'object' || value === null) return 1
  const inner: readonly unknown[] = Array.isArray(value) ? value : Object.values(value)
  let size = 1 + inner.length
  for (let at = 0; at < inner.length && size <= stretch; at++) {
    const one = inner[at]
    if (typeof one === 'object' || typeof one === 'string') size += sizeOf(one)
  }
  return size
}
