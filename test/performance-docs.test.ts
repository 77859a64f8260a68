import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

/** Figures that several pages tell are those of docs/performance.md, where they are measured anew. */

const page = (name: string) => readFileSync(join(import.meta.dirname, '..', name), 'utf8')
/** The numbers of a row's cell, by how the row begins. */
function cell(text: string, row: string, at: number): number[] {
  const line = text.split('\n').find((each) => each.startsWith(`| ${row}`)) ?? assert.fail(row)
  return [...(line.split('|')[at + 1] ?? '').matchAll(/\d[\d,]*(?:\.\d+)?/g)].map(([digits]) => Number(digits.replaceAll(',', '')))
}
const told = (figure: number | undefined) => (figure ?? NaN).toLocaleString('en')
const measured = page('docs/performance.md')

test('what the README and the comparison say of peers is what was measured', () => {
  const [ours] = cell(measured, 'Portkey; LiteLLM', 1)
  const [portkey, litellm] = cell(measured, 'Portkey; LiteLLM', 2)
  const [nginx] = cell(measured, 'the same, requests/s', 2)
  const names = (name: string, figures: readonly (number | undefined)[]) => {
    for (const figure of figures) assert.match(page(name), new RegExp(`(?<![\\d,.])${told(figure)}(?![\\d,]\\d)`), `${name}: ${told(figure)}`)
  }
  names('README.md', [ours, portkey, litellm])
  names('docs/comparison.md', [ours, portkey, litellm, nginx])
})

test('sizing begins with what was measured', () => {
  const sizing = page('docs/operations/sizing.md')
  const about = (figure: number | undefined, value: number | undefined) => assert.ok(Math.abs((figure ?? NaN) / (value ?? NaN) - 1) < 0.1, `${figure} for ${value}`)
  for (const [row, of] of [['one open route', '1 KiB POST, one open route, CPU'], ['API key', 'API key, limit, split over four endpoints, CPU'], ['the same with the access log', 'the same with the access log, CPU']] as const) {
    const [cost] = cell(measured, of, 1)
    about(cell(sizing, row, 1)[0], cost)
    about(cell(sizing, row, 2)[0], 1e6 / (cost ?? NaN))
  }
  for (const row of ['idle', 'under load']) about(cell(sizing, row, 1)[0], cell(measured, `${row}, MiB`, 1).at(-1))
  const [paced, unpaced] = ['events paced at 5 ms, CPU', 'events unpaced, CPU'].map((row) => cell(measured, row, 1)[0])
  const chunk = cell(sizing, 'a stream, for each chunk', 1)
  about(chunk[0], unpaced)
  about(chunk[1], paced)
})
