import assert from 'node:assert/strict'
import test from 'node:test'
import { keyProblems } from './key-problems.ts'

test('what makes a Secret no API key is logged once for as long as it is so', () => {
  const lines: string[] = []
  const tell = keyProblems((level, message, fields) => void lines.push(`${level} ${message} ${JSON.stringify(fields)}`))
  const problem = { field: 'data', reason: 'Invalid', message: 'an API key needs key', severity: 'error' } as const
  const bad = () => new Map([['ml/acme', [problem]]])
  tell(bad())
  tell(bad())
  assert.deepEqual(lines, ['error API key refused {"secret":"ml/acme","field":"data","reason":"Invalid","why":"an API key needs key"}'])
  tell(new Map())
  tell(bad())
  assert.equal(lines.length, 2)
})
