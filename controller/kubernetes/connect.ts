import http from 'node:http'
import https from 'node:https'
import { KubeConfig } from './library.ts'
import { isRecord, type Answer, type Api, type Call } from './api.ts'
import { systemClock, type Clock } from './clock.ts'

/** A page of a list is at most this; beyond it the caller asks for smaller pages. Bytes. */
const MAX_BODY = 64 * 1024 * 1024

/**
 * Credentials from a kubeconfig file, or the pod's own service account. Not `~/.kube/config`: a controller that starts
 * by mistake on a laptop must not take over whatever cluster is selected there. Throws when there are none.
 */
export function loadConfig(kubeconfig?: string): KubeConfig {
  const config = new KubeConfig()
  if (kubeconfig !== undefined) config.loadFromFile(kubeconfig)
  else if (process.env['KUBERNETES_SERVICE_HOST'] !== undefined) config.loadFromCluster()
  else throw new Error('not in a cluster: give --kubeconfig FILE, or -f PATH to work over files')
  if (config.getCurrentCluster() === null) throw new Error('the kubeconfig has no current context with a cluster')
  return config
}

/** Where the library looks last, as kubectl did once: nobody has named a cluster. */
const NOBODYS = 'http://localhost:8080'

/** For a command that a person gives: what kubectl would use. Throws when there is none. `otherwise`: what else they may have meant. */
export function loadUserConfig(kubeconfig?: string, otherwise = ''): KubeConfig {
  const config = new KubeConfig()
  if (kubeconfig === undefined) config.loadFromDefault()
  else config.loadFromFile(kubeconfig)
  const cluster = config.getCurrentCluster()
  if (kubeconfig === undefined && cluster?.name === 'cluster' && cluster.server === NOBODYS) {
    throw new Error(`no cluster is selected: KUBECONFIG is not set, and there is no ~/.kube/config; give --kubeconfig FILE${otherwise}`)
  }
  if (cluster === null) throw new Error('the kubeconfig has no current context with a cluster')
  return config
}

/** The same cluster, with nothing but this token to show. */
export function withToken(config: KubeConfig, token: string): KubeConfig {
  const cluster = config.getCurrentCluster()
  if (cluster === null) throw new Error('no current cluster')
  const theirs = new KubeConfig()
  const context = { name: 'token', cluster: cluster.name, user: 'token' }
  theirs.loadFromOptions({ clusters: [cluster], users: [{ name: 'token', token }], contexts: [context], currentContext: 'token' })
  return theirs
}

/**
 * The client library knows how to find and refresh credentials; the requests are our own, with deadlines.
 * @param onDate hears the time of the server with each answer
 */
export function connect(given: KubeConfig, clock: Clock = systemClock, onDate: (date: Date) => void = () => {}): Api {
  let config = given
  const cluster = config.getCurrentCluster()
  if (cluster === null) throw new Error('no current cluster')
  const base = new URL(cluster.server)
  const secure = base.protocol === 'https:'
  // Watches each hold a connection, so the number is left open; the queues bound everything else.
  const agent = secure ? new https.Agent({ keepAlive: true }) : new http.Agent({ keepAlive: true })
  const closed = new AbortController()

  async function open(call: Call): Promise<Opened> {
    const payload = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body))
    const options: https.RequestOptions = {
      method: call.method ?? 'GET',
      headers: {
        accept: 'application/json',
        'user-agent': 'modelroute-controller',
        ...(payload === undefined ? {} : {
          'content-type': call.contentType ?? 'application/json',
          'content-length': payload.length,
        }),
      },
    }
    // Reads a rotated token or certificate again; its agent keeps no connection alive, so ours replaces it.
    await config.applyToHTTPSOptions(options)
    if (cluster?.proxyUrl === undefined) options.agent = agent
    const url = new URL(base.href.replace(/\/$/, '') + call.path)
    for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, String(value))
    return new Promise((resolve, reject) => {
      const request = secure ? https.request(url, options) : http.request(url, options)
      const signals = [closed.signal, ...(call.signal === undefined ? [] : [call.signal])]
      const stop = () => request.destroy(new Error('cancelled'))
      const ms = call.deadline ?? 30_000
      const cancelDeadline = clock.after(ms, () => request.destroy(new Error(`no answer within ${ms / 1_000} s`)))
      request.on('close', () => {
        cancelDeadline()
        for (const signal of signals) signal.removeEventListener('abort', stop)
      })
      request.on('error', reject)
      request.on('response', response => {
        if (response.headers.date !== undefined) onDate(new Date(response.headers.date))
        // The library reads a token again after a minute by a clock that may have been set back since.
        if (response.statusCode === 401) config = unread(config)
        resolve({ response, cancelDeadline })
      })
      for (const signal of signals) signal.addEventListener('abort', stop)
      if (signals.some(signal => signal.aborted)) stop()
      request.end(payload)
    })
  }

  async function call(request: Call): Promise<Answer> {
    try {
      return await read((await open(request)).response)
    } catch (error) {
      return unanswered(error)
    }
  }

  async function stream(request: Call, onData: (chunk: Buffer) => void): Promise<Answer> {
    try {
      const { response, cancelDeadline } = await open(request)
      if (response.statusCode !== 200) return await read(response)
      cancelDeadline()
      for await (const chunk of response as AsyncIterable<Buffer>) onData(chunk)
      return { status: 200, body: undefined, message: '' }
    } catch (error) {
      return unanswered(error)
    }
  }

  const close = () => {
    closed.abort()
    agent.destroy()
  }
  const namespace = config.getContextObject(config.getCurrentContext())?.namespace ?? 'default'
  return { namespace, call, stream, close }
}

/** The same, with nothing read yet of the files that it names. */
function unread({ clusters, users, contexts, currentContext }: KubeConfig): KubeConfig {
  const config = new KubeConfig()
  config.loadFromOptions({ clusters, users, contexts, currentContext })
  return config
}

type Opened = Readonly<{ response: http.IncomingMessage; cancelDeadline: () => void }>

async function read(response: http.IncomingMessage): Promise<Answer> {
  const status = response.statusCode ?? 0
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY) {
      response.destroy()
      return { status: 0, body: undefined, message: `an answer of more than ${MAX_BODY} bytes`, tooLarge: true }
    }
    chunks.push(chunk)
  }
  const text = Buffer.concat(chunks).toString()
  try {
    const body: unknown = JSON.parse(text)
    const message = isRecord(body) && typeof body['message'] === 'string' ? body['message'] : ''
    return { status, body, message: message || (response.statusMessage ?? '') }
  } catch {
    if (status >= 400) return { status, body: undefined, message: text.slice(0, 200).trim() }
    return { status: 0, body: undefined, message: 'an answer that is not JSON' }
  }
}

function unanswered(error: unknown): Answer {
  const failure = error instanceof Error ? error : new Error(String(error))
  // Node reports a refused connection to a name with two addresses as an error without words of its own.
  const code = 'code' in failure ? String(failure.code) : failure.name
  return { status: 0, body: undefined, message: failure.message || code }
}
