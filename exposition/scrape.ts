import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { createGzip } from 'node:zlib'
import type { Family } from './family.ts'
import { contentTypes, expose, type Format } from './text.ts'

/** Scrapes at once: two Prometheus servers, and somebody who looks. More are told to come again. */
const scrapesMax = 4
/** Milliseconds for a reader to take all of it; Prometheus gives up after ten seconds, unless told otherwise. */
const patience = 30_000
/** Milliseconds of a turn of the event loop that writing takes. */
const stretch = 1
/** Bytes that are handed over together. */
const pageSize = 262_144

export type ScrapeOptions = Readonly<{ most?: number; patience?: number }>

/** Answers GET and HEAD of /metrics, in stretches: whatever there is to tell, nothing else waits long for it. */
export function createScrape(
  families: () => Iterable<Family> | Promise<Iterable<Family>>,
  { most = scrapesMax, patience: wait = patience }: ScrapeOptions = {},
): (request: IncomingMessage, response: ServerResponse) => void {
  let running = 0

  async function scrape(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const format = formatFor(request.headers.accept ?? '')
    const packed = acceptsGzip(String(request.headers['accept-encoding'] ?? ''))
    const head = { 'content-type': contentTypes[format], 'cache-control': 'no-store', vary: 'accept, accept-encoding', ...(packed && { 'content-encoding': 'gzip' }) }
    if (request.method === 'HEAD') {
      response.writeHead(200, head).end()
      return
    }
    const told = await families()
    response.writeHead(200, head)
    if (!packed) return pour(expose(told, format), response, response)
    // The exposition repeats itself: the lowest level makes a thirtieth of it, in a thread of the pool.
    const gzip = createGzip({ level: 1, chunkSize: 65_536 })
    gzip.pipe(response)
    return pour(expose(told, format), gzip, response)
  }

  return (request, response) => {
    if (running >= most) {
      response.writeHead(503, { 'content-type': 'text/plain; charset=utf-8', 'retry-after': '1' }).end('too many scrapes at once\n')
      return
    }
    running++
    const late = setTimeout(() => response.destroy(), wait).unref()
    response.once('close', () => {
      running--
      clearTimeout(late)
    })
    scrape(request, response).catch(() => {
      if (response.headersSent) response.destroy()
      else response.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' }).end('failed\n')
    })
  }
}

/** As fast as the reader takes it; ends early where that one has gone. */
async function pour(text: Iterable<string>, out: Writable, response: ServerResponse): Promise<void> {
  let until = performance.now() + stretch
  // One is filled while the other is on its way, or is being packed by another thread.
  let [page, other] = [Buffer.allocUnsafeSlow(pageSize), Buffer.allocUnsafeSlow(pageSize)]
  let end = 0
  let taken: Promise<void> | undefined
  for (const piece of text) {
    const bytes = Buffer.byteLength(piece)
    if (end + bytes > page.length) {
      await taken
      if (response.destroyed) break
      taken = handOver(page.subarray(0, end), out, response)
      ;[page, other] = [other.length < bytes ? Buffer.allocUnsafeSlow(bytes) : other, page]
      end = 0
    }
    end += page.write(piece, end)
    if (performance.now() < until) continue
    await turn()
    until = performance.now() + stretch
  }
  if (response.destroyed) out.destroy()
  else out.end(page.subarray(0, end))
}

/** Fulfilled once its memory may be written to again: it was taken, or nobody is there to take it. */
function handOver(page: Buffer, out: Writable, response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('close', done)
      resolve()
    }
    response.once('close', done)
    out.write(page, done)
  })
}

/** OpenMetrics for who prefers it, in a version that this is (RFC 9110 section 12.5.1). */
export function formatFor(accept: string): Format {
  let best: Readonly<{ format: Format; quality: number }> = { format: 'text', quality: 0 }
  for (const entry of accept.split(',')) {
    const [type = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase())
    const version = parameters.find((one) => one.startsWith('version='))?.slice(8)
    const format = type === 'application/openmetrics-text' && (version === undefined || version === '1.0.0' || version === '0.0.1') ? 'openmetrics'
      : type === 'text/plain' || type === 'text/*' || type === '*/*' ? 'text' : undefined
    const quality = Number(parameters.find((one) => one.startsWith('q='))?.slice(2) ?? '1')
    if (format !== undefined && quality > best.quality) best = { format, quality }
  }
  return best.format
}

/** RFC 9110 section 12.5.3. */
function acceptsGzip(header: string): boolean {
  return header.split(',').some((entry) => /^\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$)[\d.]+\s*)?$/i.test(entry))
}
