import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { labelText, type Family } from './family.ts'
import { Merged, pagesOf } from './pages.ts'
import { createScrape, formatFor } from './scrape.ts'
import { expose, type Format } from './text.ts'

const requests = (rows: readonly (readonly [string, number])[]): Family => ({
  name: 'a_requests_total', help: 'Requests, "all" of them.', type: 'counter', labels: ['route'],
  rows: () => rows.map(([route, value]) => ({ labels: labelText(['route'], [route]), value })),
})
const durations = (counts: readonly number[], sum: number): Family => ({
  name: 'a_duration_seconds', help: 'How long.', type: 'histogram', labels: ['route'], bounds: [0.5, 1],
  buckets: () => [{ labels: 'route="x"', counted: { counts, sum, exemplars: [undefined, { trace: 'abc', value: 0.7, at: 1.5 }, undefined] } }],
})
const written = (families: Family[], format: Format, most?: number) => [...expose(families, format, most)].join('')

test('text is as Prometheus reads it, and values of labels cannot leave their quotes', () => {
  assert.equal(written([requests([['a"b\\c\nd', 1]]), durations([1, 2, 3], 9.5)], 'text'), `# HELP a_requests_total Requests, "all" of them.
# TYPE a_requests_total counter
a_requests_total{route="a\\"b\\\\c\\nd"} 1
# HELP a_duration_seconds How long.
# TYPE a_duration_seconds histogram
a_duration_seconds_bucket{route="x",le="0.5"} 1
a_duration_seconds_bucket{route="x",le="1.0"} 3
a_duration_seconds_bucket{route="x",le="+Inf"} 6
a_duration_seconds_sum{route="x"} 9.5
a_duration_seconds_count{route="x"} 6
`)
})

test('OpenMetrics names counters without their suffix, tells units, has exemplars and an end', () => {
  assert.equal(written([requests([['x', 1]]), durations([1, 2, 3], 9.5)], 'openmetrics'), `# TYPE a_requests counter
# HELP a_requests Requests, \\"all\\" of them.
a_requests_total{route="x"} 1
# TYPE a_duration_seconds histogram
# UNIT a_duration_seconds seconds
# HELP a_duration_seconds How long.
a_duration_seconds_bucket{route="x",le="0.5"} 1
a_duration_seconds_bucket{route="x",le="1.0"} 3 # {trace_id="abc"} 0.7 1.5
a_duration_seconds_bucket{route="x",le="+Inf"} 6
a_duration_seconds_sum{route="x"} 9.5
a_duration_seconds_count{route="x"} 6
# EOF
`)
})

test('what is beyond the bound of a metric is told as one', () => {
  const text = written([requests([['a', 1], ['b', 2], ['c', 3], ['d', 4]])], 'text', 2)
  assert.deepEqual(text.split('\n').slice(2, -1), ['a_requests_total{route="a"} 1', 'a_requests_total{route="b"} 2', 'a_requests_total{route="other"} 7'])
})

test('the pages of several processes are added up, and each bucket has the latest exemplar', () => {
  const gauges = (value: number): Family[] => (['sum', 'max', 'min', 'average'] as const).map((combine) =>
    ({ name: combine, help: '', type: 'gauge', labels: [], combine, rows: () => [{ labels: '', value }] }))
  const own = [...gauges(1), requests([]), durations([0, 0, 0], 0)]
  const merged = new Merged(own)
  for (const page of pagesOf(own)) merged.add(page)
  const many = Array.from({ length: 1200 }, (_, i) => [`r${i}`, 1] as const)
  const pages = [...pagesOf([...gauges(3), requests(many), durations([1, 2, 3], 4)])]
  assert.deepEqual(pages.map(({ rows, more }) => [rows.length, more]), [[500, true], [500, true], [205, false]])
  for (const page of [...pages, ...pages]) merged.add(structuredClone(page))
  const text = written(merged.families(), 'openmetrics')
  for (const line of ['sum 7', 'max 3', 'min 1', 'a_requests_total{route="r1199"} 2', 'a_duration_seconds_count{route="x"} 12', 'a_duration_seconds_sum{route="x"} 8']) {
    assert.ok(text.includes(`\n${line}\n`), line)
  }
  assert.ok(text.includes(`\naverage ${7 / 3}\n`))
  assert.match(text, /le="1.0"} 6 # \{trace_id="abc"\}/)
})

test('OpenMetrics is for who prefers it', () => {
  const prometheus2 = 'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2'
  assert.equal(formatFor(prometheus2), 'openmetrics')
  for (const accept of ['', '*/*', 'text/plain;q=1, application/openmetrics-text;q=0.5', 'application/openmetrics-text;version=2.0.0', 'text/html', 'application/openmetrics-text;q=0']) {
    assert.equal(formatFor(accept), 'text', accept)
  }
})

async function serving(t: TestContext, scrape: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(scrape).listen(0, '127.0.0.1')
  await new Promise((resolve) => { server.once('listening', resolve) })
  t.after(() => { server.closeAllConnections(); server.close() })
  const { port } = server.address() as AddressInfo
  return (headers: Record<string, string> = {}) => new Promise<{ response: IncomingMessage; body: () => Promise<Buffer> }>((resolve, reject) => {
    get({ port, headers, agent: false }, (response) => resolve({
      response,
      body: async () => Buffer.concat(await Array.fromAsync(response as AsyncIterable<Buffer>)),
    })).on('error', reject)
  })
}

test('a scrape is packed for who takes that, and the same, whatever there is to tell', async (t) => {
  const many = [['模'.repeat(150_000), 1] as const, ...Array.from({ length: 40_000 }, (_, i) => [`r${i}`, i] as const)]
  const ask = await serving(t, createScrape(() => [requests(many)]))
  const plain = await ask({ accept: 'application/openmetrics-text' })
  const text = (await plain.body()).toString()
  assert.deepEqual([plain.response.headers['content-type'], plain.response.headers['content-encoding']], ['application/openmetrics-text; version=1.0.0; charset=utf-8', undefined])
  assert.ok(text === written([requests(many)], 'openmetrics'))
  const packed = await ask({ accept: 'application/openmetrics-text', 'accept-encoding': 'gzip' })
  assert.equal(packed.response.headers['content-encoding'], 'gzip')
  assert.ok(gunzipSync(await packed.body()).toString() === text)
  assert.equal((await ask({ 'accept-encoding': 'gzip;q=0, br' })).response.headers['content-encoding'], undefined)
})

test('more scrapes than there are places are sent away, and a reader that stops gives its place back', async (t) => {
  const many = Array.from({ length: 400_000 }, (_, i) => [`r${i}`, i] as const)
  const ask = await serving(t, createScrape(() => [requests(many)], { most: 1 }))
  const first = await ask()
  const second = await ask()
  assert.deepEqual([second.response.statusCode, second.response.headers['retry-after']], [503, '1'])
  second.response.resume()
  first.response.destroy()
  for (;;) {
    const { response } = await ask()
    response.destroy()
    if (response.statusCode === 200) break
  }
})

test('a reader that does not go on is cut off', async (t) => {
  const many = Array.from({ length: 100_000 }, (_, i) => [`${'r'.repeat(500)}${i}`, i] as const)
  const scrape = createScrape(() => [requests(many)], { patience: 100 })
  const closed = Promise.withResolvers<boolean>()
  const server = createServer((request, response) => {
    response.once('close', () => closed.resolve(response.writableFinished))
    scrape(request, response)
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  // It reads nothing at all: on a busy machine even a head that is waited for comes after the server's patience.
  const reader = connect((server.address() as AddressInfo).port, '127.0.0.1').pause()
  reader.on('error', () => {})
  reader.write('GET /metrics HTTP/1.1\r\nhost: proxy\r\n\r\n')
  assert.equal(await closed.promise, false)
  reader.destroy()
})
