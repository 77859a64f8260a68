import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

/** The arithmetic of docs/scale.md, done again from the figures that it starts from. */

const page = (name: string) => readFileSync(join(import.meta.dirname, '../docs', name), 'utf8')
const text = /^## A million requests a second\n([^]*)/m.exec(page('scale.md'))?.[1] ?? ''
const numbers = (line: string) => [...line.matchAll(/\d[\d,]*(?:\.\d+)?/g)].map(([digits]) => Number(digits.replaceAll(',', '')))
/** The cells of the row that begins so, as numbers. */
const row = (name: string, cells = text) => {
  const found = cells.split('\n').find((line) => line.startsWith(`| ${name}`)) ?? assert.fail(name)
  return found.split('|').slice(1, -1).map(numbers)
}
/** As pages round. */
const about = (told: number | undefined, value: number, within = 0.03) => assert.ok(Math.abs((told ?? 0) / value - 1) <= within, `${told} for ${value}`)

test('cores are what a request takes a million times, and half as many more so that a third may go', () => {
  const [[open = 0] = [], [openCores] = []] = row('one open route')
  const [[known = 0] = [], [knownCores] = []] = row('API key')
  const [[log = 0] = [], [logCores] = []] = row('the same with access log')
  about(openCores, open)
  about(knownCores, known)
  about(logCores, known + log)
  about(row('two thirds busy')[1]?.[0], (known + log) * 1.5)
  // Those of the bench.
  const measured = (name: string) => row(name, page('performance.md'))[1] ?? []
  about(open, measured('1 KiB POST, one open route, CPU')[0] ?? 0, 0)
  const runs = measured('API key, limit, split over four endpoints, CPU')
  about(known, runs.reduce((sum, one) => sum + one, 0) / runs.length, 0.01)
})

test('what forty proxies send, hold and ask', () => {
  const proxies = Number(/With (\d+) proxies of one core/.exec(text)?.[1])
  assert.equal(proxies, row('two thirds busy')[1]?.[0])
  assert.equal(row('controller\'s bandwidth')[2]?.[0], proxies)
  const changes = row('the same, 100 endpoint changes/s')
  about(changes[2]?.[0], (changes[0]?.[0] ?? 0) * (changes[1]?.[0] ?? 0) * proxies / 1000)
  const start = row('the same, all proxies start at once')
  about(start[2]?.[0], (start[1]?.[0] ?? 0) * proxies)
  about(start[2]?.[1], (start[2]?.[0] ?? 0) * 8 / 1000, 0.2)
  const [, [trip = 0, calls = 0, workers, each = 0], [told]] = row('Redis, `scope: Global`') as [number[], number[], number[]]
  about(calls, 1000 / trip)
  assert.equal(workers, proxies)
  assert.equal(told, calls * proxies)
  about(1e6, calls * proxies * each, 0.05)
  const [, [routes = 0, variants = 0, outcomes = 0, histograms = 0, ofEach = 0, buckets = 0] = [], [series = 0, all = 0] = []] = row('metrics')
  assert.equal(series, routes * variants * outcomes + histograms * ofEach * buckets)
  about(all, series * proxies / 1e6)
  const [, [bytes = 0] = [], [perSecond, perDay, perProxy] = []] = row('ledger')
  assert.equal(perSecond, bytes)
  about(perDay, bytes * 86_400 / 1e6)
  about(perProxy, bytes / proxies)
  const connections = row('connections to backends')[1] ?? []
  assert.equal(connections.at(-1), 1e6 * (connections.find((one) => one === 50) ?? 0) / 1000)
  about(row('connections to backends')[2]?.[0], (connections.at(-1) ?? 0) / proxies)
  const [, [endpoints = 0, to] = [], [idle, atEach] = []] = row('the same, each endpoint')
  assert.deepEqual([to, idle, atEach], [proxies, endpoints * proxies, proxies])
})
