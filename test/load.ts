import { Agent, request } from 'node:http'
import { performance } from 'node:perf_hooks'

/**
 * An open-loop load with a verdict for each request: requests start on a schedule whatever happened to the earlier
 * ones, so a stall shows as late answers instead of as fewer requests. Bounded: at most `limit` requests.
 */

export type Sample = Readonly<{
  /** Index into `targets`. */
  target: number
  /** `performance.now()` at the start, and how long it took until the body's end, in ms. */
  at: number
  ms: number
  /** 0 when there was no complete answer; `error` says why. */
  status: number
  headers: Readonly<Record<string, string | string[] | undefined>>
  body: string
  error?: string
}>

export type LoadOptions = Readonly<{
  /** Origins, taken in turn: `http://10.0.0.2:8080`. */
  targets: readonly string[]
  path: string
  body: string
  headers?: Readonly<Record<string, string>>
  /** Requests a second over all targets. */
  rate: number
  limit: number
  /** Milliseconds without a byte after which a request is given up; long, for a machine that does much else. */
  patience?: number
}>

export function startLoad(options: LoadOptions): { samples: readonly Sample[]; stop(): Promise<readonly Sample[]> } {
  const { patience = 60_000 } = options
  const agent = new Agent({ keepAlive: true, maxSockets: 256 })
  const samples: Sample[] = []
  const inFlight = new Set<Promise<void>>()
  const begin = performance.now()
  let started = 0

  const send = (n: number): Promise<void> => {
    const target = n % options.targets.length
    const at = performance.now()
    return new Promise((resolve) => {
      const done = (status: number, headers: Sample['headers'], body: string, error?: string) => {
        samples.push({ target, at, ms: performance.now() - at, status, headers, body, ...(error && { error }) })
        resolve()
      }
      const call = request(
        new URL(options.path, options.targets[target]),
        {
          agent,
          method: 'POST',
          timeout: patience,
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(options.body), ...options.headers },
        },
        (response) => {
          let body = ''
          response.setEncoding('utf8')
          response.on('data', (chunk: string) => (body += chunk))
          response.on('end', () => done(response.statusCode ?? 0, response.headers, body))
          response.on('error', (error) => done(0, response.headers, body, error.message))
        },
      )
      call.on('timeout', () => call.destroy(new Error(`no answer within ${patience} ms`)))
      call.on('error', (error) => done(0, {}, '', error.message))
      call.end(options.body)
    })
  }

  const timer = setInterval(() => {
    const due = Math.min(options.limit, Math.floor(((performance.now() - begin) / 1000) * options.rate))
    for (; started < due; started++) {
      const one = send(started).finally(() => inFlight.delete(one))
      inFlight.add(one)
    }
    if (started >= options.limit) clearInterval(timer)
  }, 2)

  return {
    samples,
    stop: async () => {
      clearInterval(timer)
      await Promise.all(inFlight)
      agent.destroy()
      return samples
    },
  }
}

/** The value below which a share `p` (0…1) of the numbers lies; NaN of none. */
export function percentile(numbers: readonly number[], p: number): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * p) - 1)] ?? Number.NaN
}
