import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { rowsOf } from './rows.ts'

function rows(text: string, shape: readonly number[]): readonly string[] | undefined {
  const json = Buffer.from(` ${text}`)
  const work = rowsOf(json, 1, json.length, shape)
  for (;;) {
    const { done, value } = work.next()
    if (done === true) return value?.starts.map((start, at) => json.toString('utf8', start, value.ends[at]))
  }
}

test('rows are found in flat lists and in lists of lists, with every byte of their values', () => {
  assert.deepEqual(rows('[1, 2.50,3 ,4]', [2, 2]), ['1, 2.50', '3 ,4'])
  assert.deepEqual(rows('[[1, 2.50],[3 ,4] ]', [2, 2]), ['[1, 2.50]', '[3 ,4]'])
  assert.deepEqual(rows('["a,]\\"","b"]', [2]), ['"a,]\\""', '"b"'])
  assert.deepEqual(rows('[[[1],[2]],[[3],[4]]]', [2, 2, 1]), ['[[1],[2]]', '[[3],[4]]'])
  assert.deepEqual(rows('[NaN,-Infinity,null,true]', [4, 1]), ['NaN', '-Infinity', 'null', 'true'])
})

test('what does not have the values of its shape has no rows: they would be taken for those of others', () => {
  const wrong: [string, number[]][] = [
    ['[1]', [1, 2]], ['[1,2,3]', [1, 2]], ['[[1,2,3],[4]]', [2, 2]], ['[[1,2],[3,4]', [2, 2]], ['[1,2]]', [2]], ['[1,2],3]', [2]], ['[,1]', [1]], ['[1,]', [1]],
    ['[1 2]', [2]], ['[1,,2]', [2]], ['[[1],2]', [2]], ['[[[1]]]', [1, 1]], ['[]', [1]], ['{"0":1}', [1]], ['1', [1]], ['["a]', [1]], ['[1}', [1]],
    ['[/*]*/1]', [1]], ["['a']", [1]], ['[[1,2,3,4]]', [2, 2]],
  ]
  for (const [text, shape] of wrong) assert.equal(rows(text, shape), undefined, text)
})

test('whatever the shape, the rows together are the values, and each has as many as the others', () => {
  const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 })
  fc.assert(fc.property(shapes, fc.boolean(), fc.array(fc.oneof(fc.double().map(String), fc.string().map((text) => JSON.stringify(text))), { minLength: 64, maxLength: 64 }), (shape, nested, values) => {
    const size = shape.reduce((product, one) => product * one, 1)
    let lists: string[] = values.slice(0, size)
    if (nested) {
      for (const per of shape.slice(1).reverse()) {
        lists = Array.from({ length: lists.length / per }, (_, at) => `[${lists.slice(at * per, (at + 1) * per).join(', ')}]`)
      }
    }
    const found = rows(`[${lists.join(',')}]`, shape)
    const per = lists.length / (shape[0] ?? 1)
    assert.deepEqual(found, Array.from({ length: shape[0] ?? 0 }, (_, at) => lists.slice(at * per, (at + 1) * per).join(',')))
  }), { numRuns: 300 })
})
