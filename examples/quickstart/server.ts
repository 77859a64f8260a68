import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { infer, INPUT, MODEL, OUTPUT, parseRequest, type Version } from './model.ts'

/**
 * A model server in a page, for the tour: the Open Inference Protocol (V2) over REST, for one version of one model.
 * It depends on nothing, so that it can stand in for Triton, MLServer or KServe on any laptop.
 */

/** The ports that the EndpointSlices in this folder name. Uncommon ones, below the ranges of ephemeral ports. */
export const PORTS: Readonly<Record<Version, number>> = { '1': 18081, '2': 18082 }

export type ModelServer = Readonly<{ version: Version; url: string; close(): Promise<void> }>

/** A port of 0 takes a free one. Rejects where the port is taken, saying which and what to do. */
export async function startModelServer(options: { version: Version; port: number; host: string }): Promise<ModelServer> {
  const { version, port, host } = options
  const server = createServer((request, response) => void serve(version, request, response))
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'EADDRINUSE') return reject(cause)
      reject(new Error(`port ${port} on ${host} is taken, and version ${version} of the quickstart's model needs it: ` +
        'stop what listens there (another `npm start`?), or name another port in examples/quickstart', { cause }))
    })
    server.listen(port, host, resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has an address and a port')
  return {
    version,
    url: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

type Answer = Readonly<{ status: number; body?: unknown; allow?: string }>

const BODY_LIMIT = 1024 * 1024

async function serve(version: Version, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await read(request)
  if (body === 'aborted') return
  const answer: Answer = body === 'too large'
    ? { status: 413, body: { error: `the request is larger than ${BODY_LIMIT} bytes` } }
    : answerTo(version, request.method ?? 'GET', request.url ?? '/', body.text)
  response.statusCode = answer.status
  if (answer.allow !== undefined) response.setHeader('allow', answer.allow)
  if (body === 'too large') response.setHeader('connection', 'close')
  if (answer.body === undefined) return void response.end()
  response.setHeader('content-type', 'application/json')
  response.end(`${JSON.stringify(answer.body)}\n`)
}

async function read(request: IncomingMessage): Promise<{ text: string } | 'too large' | 'aborted'> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size <= BODY_LIMIT) chunks.push(chunk)
    }
  } catch {
    return 'aborted'
  }
  return size > BODY_LIMIT ? 'too large' : { text: Buffer.concat(chunks).toString('utf8') }
}

/** The protocol: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol */
function answerTo(version: Version, method: string, target: string, body: string): Answer {
  const path = target.split('?', 1)[0] ?? ''
  const model = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/(ready|infer))?$/.exec(path)
  const known = ['/v2', '/v2/health/live', '/v2/health/ready'].includes(path)
  if (!known && model === null) return { status: 404, body: { error: 'not found' } }

  const allowed = model?.[3] === 'infer' ? ['POST'] : ['GET', 'HEAD']
  if (!allowed.includes(method)) {
    return { status: 405, allow: allowed.join(', '), body: { error: `${method} is not allowed here` } }
  }
  if (path === '/v2') return { status: 200, body: { name: 'quickstart', version: '1.0.0', extensions: [] } }
  if (model === null) return { status: 200 }

  const [, name, asked, verb] = model
  if (name !== MODEL || (asked !== undefined && asked !== version)) {
    const what = asked === undefined ? `'${name}'` : `'${name}' version '${asked}'`
    return { status: 404, body: { error: `unknown model ${what}: this server has '${MODEL}' version '${version}'` } }
  }
  if (verb === 'ready') return { status: 200 }
  if (verb === undefined) {
    return { status: 200, body: { name, versions: [version], platform: 'quickstart', inputs: [INPUT], outputs: [OUTPUT] } }
  }
  const parsed = parseRequest(body)
  if ('error' in parsed) return { status: 400, body: { error: parsed.error } }
  const { id, input } = parsed
  return {
    status: 200,
    body: { ...(id === undefined ? {} : { id }), model_name: name, model_version: version, outputs: [infer(version, input)] },
  }
}
