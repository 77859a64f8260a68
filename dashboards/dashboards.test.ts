import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { dashboards, textOf } from './all.ts'

const folder = join(import.meta.dirname, '../charts/modelroute/dashboards')

test('the dashboards of the chart are those of the sources: npm run generate', () => {
  assert.deepEqual(readdirSync(folder).toSorted(), dashboards.map(({ file }) => `${file}.json`).toSorted())
  for (const dashboard of dashboards) assert.equal(readFileSync(join(folder, `${dashboard.file}.json`), 'utf8'), textOf(dashboard))
})
