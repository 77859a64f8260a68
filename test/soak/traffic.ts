import { Agent, request } from 'node:http'
import { connect, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2'
import { isDeepStrictEqual } from 'node:util'
import type { Outcomes } from './verdict.ts'

/** What came: `code` as in an outcome, and '' where it is a whole answer of a backend. */
type Answer = Readonly<{ status: number; code: string; text: string; variant: string; detail: string }>
/** Why an answer is not the one to this request; undefined: it is. */
type Check = (answer: Answer) => string | undefined
type Asked = Readonly<{ path: string; body: string; check: Check }>

/** No answer for so long is none. Milliseconds; above every time limit of the gateway. */
const patience = 60_000

const eventsOf = (text: string): string[] => text.split('\n\n').filter((part) => part !== '').map((part) => part.replace(/^data: /, ''))
const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
const sameJson = (text: string, expected: unknown): string | undefined =>
  isDeepStrictEqual(parsed(text), expected) ? undefined : `${text.slice(0, 300)} in place of ${JSON.stringify(expected)}`

/** By kind, the request with this number: its answer is to follow from it, and from no other. */
const kinds: Readonly<Record<string, (id: string, n: number) => Asked>> = {
  rest: (id, n) => {
    const body = JSON.stringify({ id, pad: 'x'.repeat(n % 7 === 0 ? 60_000 : n % 100) })
    return {
      path: `/rest/${id}`, body,
      check: ({ text, variant }) => {
        const said = parsed(text) as { id?: string; by?: string; length?: number } | undefined
        return said?.id === id && said.length === body.length && said.by === variant ? undefined : `${text.slice(0, 300)} by ${variant}`
      },
    }
  },
  events: (id) => ({
    path: `/events/${id}`, body: '{}',
    check: ({ text }) => sameJson(JSON.stringify(eventsOf(text)), [...Array.from({ length: 20 }, (_, at) => JSON.stringify({ id, n: at })), '[DONE]']),
  }),
  chat: (id) => ({
    path: '/v1/chat/completions', body: JSON.stringify({ model: 'soak', messages: [{ role: 'user', content: id }] }),
    check: ({ text }) => {
      const said = (parsed(text) as { choices?: { message: { content: string } }[] } | undefined)?.choices?.[0]?.message.content
      return said === `you said ${id}` ? undefined : text.slice(0, 300)
    },
  }),
  'chat stream': (id) => ({
    path: '/v1/chat/completions', body: JSON.stringify({ model: 'soak', stream: true, messages: [{ role: 'user', content: id }] }),
    check: ({ text }) => {
      const events = eventsOf(text)
      const said = events.map((event) => (parsed(event) as { choices?: { delta?: { content?: string } }[] } | undefined)?.choices?.[0]?.delta?.content ?? '')
      return said.join(' ').trim() === `you said ${id}` && events.at(-1) === '[DONE]' ? undefined : text.slice(0, 500)
    },
  }),
  'V1 to V2': (_, n) => {
    const instances = [[n, n + 1], [n / 2, -3 * n]]
    return { path: '/v1/models/sum:predict', body: JSON.stringify({ instances }), check: ({ text }) => sameJson(text, { predictions: instances.map(([a = 0, b = 0]) => a + b) }) }
  },
  'V2 to OpenAI': (id) => ({
    path: '/v2/models/chat/generate', body: JSON.stringify({ text_input: id }),
    check: ({ text }) => (parsed(text) as { text_output?: string } | undefined)?.text_output === `you said ${id}` ? undefined : text.slice(0, 300),
  }),
  cached: (_, n) => ({ path: '/cached', body: JSON.stringify({ q: n % 23 }), check: ({ text }) => sameJson(text, { q: n % 23, square: (n % 23) ** 2 }) }),
  limited: (id) => ({ path: `/limited/${id}`, body: '{}', check: ({ text }) => (parsed(text) as { id?: string } | undefined)?.id === id ? undefined : text.slice(0, 300) }),
}
const names = [...Object.keys(kinds), 'gRPC']

/** Requests of every kind to every proxy in turn, on a schedule, whatever becomes of them. */
export class Traffic {
  readonly #urls: readonly string[]
  readonly #outcomes: Outcomes
  #agents: Agent[] = []
  #sessions: (ClientHttp2Session | undefined)[] = []
  readonly #inFlight = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  #sent = 0

  constructor(urls: readonly string[], outcomes: Outcomes) {
    this.#urls = urls
    this.#outcomes = outcomes
  }

  /** @param rate requests a second, over all */
  start(rate: number): void {
    this.#agents = this.#urls.map(() => new Agent({ keepAlive: true, maxSockets: 64 }))
    const [begun, before] = [performance.now(), this.#sent]
    this.#timer = setInterval(() => {
      const due = before + Math.floor((performance.now() - begun) / 1000 * rate)
      // Of a machine that slept, not all at once.
      for (let burst = 0; this.#sent < due && burst < rate; burst++) {
        const one = this.#send(this.#sent++).finally(() => this.#inFlight.delete(one))
        this.#inFlight.add(one)
      }
    }, 10)
  }

  /** Nothing more is sent; resolves once all has been answered, and every connection is closed. */
  async pause(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#inFlight)
    for (const agent of this.#agents) agent.destroy()
    for (const session of this.#sessions) session?.close()
    this.#sessions = []
  }

  async #send(n: number): Promise<void> {
    const kind = names[n % names.length] ?? ''
    const proxy = Math.floor(n / names.length) % this.#urls.length
    const id = `${kind.replaceAll(' ', '-')}-${n}-${Math.random().toString(36).slice(2)}`
    const at = performance.now()
    const asked = kinds[kind]?.(id, n)
    const answer = await (asked === undefined ? this.#call(proxy, id) : this.#post(proxy, asked)).catch((error: unknown): Answer => ({ status: 0, code: 'broken', text: '', variant: '', detail: String(error) }))
    const given = { kind, proxy, at, end: performance.now(), code: answer.code }
    if (kind === 'limited' && answer.code === 'rate_limited') this.#outcomes.add({ ...given, was: 'limited', detail: '' })
    else if (answer.code !== '') this.#outcomes.add({ ...given, was: 'failed', detail: `${answer.status} ${answer.detail}` })
    else {
      const why = asked === undefined ? (answer.text === id ? undefined : answer.text.slice(0, 300)) : asked.check(answer)
      this.#outcomes.add({ ...given, was: why === undefined ? 'right' : 'wrong', detail: why ?? '' })
    }
  }

  #post(proxy: number, { path, body }: Asked): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = { agent: this.#agents[proxy], method: 'POST', timeout: patience, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } }
      const call = request(`${this.#urls[proxy]}${path}`, options, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (part: string) => { text += part }).on('error', reject).on('end', () => {
          const said = (name: string) => String(response.headers[name] ?? '')
          const status = response.statusCode ?? 0
          // A stream that fails on its way says so in its last event.
          const late = /"code":"(?<code>upstream_\w+|timeout)"/.exec(text)?.groups?.['code'] ?? ''
          const code = said('x-modelroute-error') || (status === 200 ? late : `status ${status}`)
          resolve({ status, code, text, variant: said('x-modelroute-variant'), detail: code === '' ? '' : text.slice(0, 300) })
        })
      })
      call.on('timeout', () => call.destroy(new Error(`no answer within ${patience} ms`))).on('error', reject).end(body)
    })
  }

  /** Of gRPC: one message there and back. */
  #call(proxy: number, id: string): Promise<Answer> {
    let session = this.#sessions[proxy]
    if (session === undefined || session.destroyed || session.closed) {
      session = connect(this.#urls[proxy] ?? '')
      session.on('error', () => {})
      this.#sessions[proxy] = session
    }
    const message = Buffer.from(id)
    const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message])
    const call = session.request({ ':method': 'POST', ':path': '/soak.Echo/Say', 'content-type': 'application/grpc', te: 'trailers' })
    return new Promise((resolve, reject) => {
      const parts: Buffer[] = []
      let [status, code, said] = ['', '', '']
      const read = (headers: IncomingHttpHeaders) => {
        const value = (name: string) => String(headers[name] ?? '')
        status = value('grpc-status') || status
        code = value('x-modelroute-error') || code
        said = value('grpc-message') || said
      }
      call.setTimeout(patience, () => call.destroy(new Error(`no answer within ${patience} ms`)))
      call.on('response', read).on('trailers', read).on('data', (part: Buffer) => parts.push(part)).on('error', reject)
      call.on('close', () => reject(new Error('closed')))
      call.on('end', () => {
        if (status === '') reject(new Error('no status'))
        else resolve({ status: Number(status), code: code !== '' || status === '0' ? code : `grpc ${status}`, text: Buffer.concat(parts).subarray(5).toString(), variant: '', detail: said })
      })
      call.end(frame)
    })
  }
}
