/**
 * What several models say, made one: over numbers, or tensors as nested lists of one shape, element by element. An answer
 * that is not there (null) has no say.
 */

/** So many more values were looked at; throws where that is too many. */
export type Count = (values: number) => void

export function mean(answers: readonly unknown[], count: Count): unknown {
  return weighted(answers, answers.map(() => 1), count)
}

/** @param weights one for each answer, from 0 on; those of answers that are not there do not count */
export function weighted(answers: readonly unknown[], weights: readonly unknown[], count: Count): unknown {
  if (weights.length !== answers.length) throw new Error(`${answers.length} answers and ${weights.length} weights`)
  const numbers = weights.map((weight) => numeric(weight))
  if (numbers.some((weight) => weight < 0)) throw new Error('a weight below 0')
  const there = [...answers.keys()].filter((at) => answers[at] !== null && answers[at] !== undefined)
  const total = there.reduce((sum, at) => sum + (numbers[at] ?? 0), 0)
  if (!(total > 0)) throw new Error('no answer that has a weight')
  const own = there.map((at) => numbers[at] ?? 0)
  return combine(there.map((at) => answers[at]), count, (values) => {
    // Divided by its own weight a number would not quite be what it was.
    if (values.length === 1) return numeric(values[0])
    let sum = 0
    for (let i = 0; i < values.length; i++) sum += numeric(values[i]) * (own[i] ?? 0)
    return sum / total
  }, (lists) => sums(lists, own, total))
}

/** The same of lists of nothing but numbers, which most are, and long; undefined: they are not. */
function sums(lists: readonly (readonly unknown[])[], weights: readonly number[], total: number): number[] | undefined {
  const [first = []] = lists
  const result: number[] = []
  for (let at = 0; at < first.length; at++) {
    let sum = 0
    for (let i = 0; i < lists.length; i++) {
      const value = lists[i]?.[at]
      if (typeof value !== 'number') return undefined
      sum += value * (weights[i] ?? 0)
    }
    // Divided by its own weight a number would not quite be what it was.
    result.push(lists.length === 1 ? Number(first[at]) : sum / total)
  }
  return result
}

/** The answer that most give; of several, the one that comes first. */
export function vote(answers: readonly unknown[], count: Count): unknown {
  const there = answers.filter((answer) => answer !== null && answer !== undefined)
  if (there.length === 0) throw new Error('no answer')
  return combine(there, count, (values) => {
    const counts = new Map<unknown, number>()
    for (const value of values) {
      const scalar = typeof value === 'bigint' ? Number(value) : value
      if (typeof scalar === 'object') throw new Error('an answer that is neither a value nor a list of them')
      counts.set(scalar, (counts.get(scalar) ?? 0) + 1)
    }
    // Most often they agree.
    if (counts.size === 1) return counts.keys().next().value
    let best: [unknown, number] | undefined
    for (const entry of counts) if (best === undefined || entry[1] > best[1]) best = entry
    return best?.[0]
  })
}

/**
 * @param of told the values of one place; they are others as soon as it has returned
 * @param ofNumbers told lists that begin with a number; undefined: place by place
 */
function combine(
  answers: readonly unknown[],
  count: Count,
  of: (values: readonly unknown[]) => unknown,
  ofNumbers?: (lists: readonly (readonly unknown[])[]) => readonly unknown[] | undefined,
): unknown {
  const [first] = answers
  if (!Array.isArray(first)) {
    count(answers.length)
    return of(answers)
  }
  const lists = answers.map((answer) => {
    if (!Array.isArray(answer) || answer.length !== first.length) throw new Error('answers of different shapes')
    return answer as readonly unknown[]
  })
  count(lists.length * 8)
  if (ofNumbers !== undefined && typeof first[0] === 'number') {
    const numbers = ofNumbers(lists)
    if (numbers !== undefined) {
      count(lists.length * first.length)
      return numbers
    }
  }
  const result: unknown[] = []
  const values: unknown[] = [...lists]
  for (let at = 0; at < first.length; at++) {
    for (let i = 0; i < lists.length; i++) values[i] = lists[i]?.[at]
    result.push(combine(values, count, of, ofNumbers))
  }
  return result
}

function numeric(value: unknown): number {
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return Number(value)
  throw new Error('an answer that is no number')
}
