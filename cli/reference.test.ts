import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { flagsPage, path } from './reference.ts'

test('docs/reference/flags.md has every command and flag as --help has it: npm run generate', () => {
  assert.equal(readFileSync(path, 'utf8'), flagsPage())
})
