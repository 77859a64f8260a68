import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { errorsPage, path } from './errors-page.ts'

test('docs/errors.md has every code with its status, and no other: npm run generate', () => {
  assert.equal(readFileSync(path, 'utf8'), errorsPage())
})

test('every code has a cause and a fix', () => {
  const rows = readFileSync(path, 'utf8').split('\n').filter((line) => line.startsWith('| `')).map((line) => line.split('|').map((cell) => cell.trim()))
  assert.ok(rows.length > 20)
  for (const [, code, , cause, fix] of rows) assert.ok((cause?.length ?? 0) > 20 && (fix?.length ?? 0) > 10, code)
})
