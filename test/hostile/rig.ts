import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request as httpRequest, type OutgoingHttpHeaders, type RequestListener } from 'node:http'
import { connect, createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import * as fc from 'fast-check'
import { createCompiler } from '../../controller/compile/compile.ts'
import { readManifests } from '../../controller/sources/files.ts'
import { MessageWriter } from '../../dataplane/protocols/protobuf.ts'
import { createLog } from '../../dataplane/telemetry/log.ts'
import { testProxy } from '../dataplane/proxy.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { serviceAt } from '../manifests.ts'
import { answers, framed, hostiles, type Hostile } from './bodies.ts'

const matching = (name: string) => `  - name: ${name}\n    matches: [{headers: [{name: x-rule, value: ${name}}]}]\n    timeouts: {request: 60s}\n`
const speaking = (protocol: string) => `${matching(`to-${protocol.toLowerCase()}`)}    backendRefs: [{variant: only, name: ${protocol === 'GRPC' ? 'grpc' : 'http'}, port: 8000, protocol: ${protocol}, model: {name: m}}]\n`
const http = '    backendRefs: [{variant: only, name: http, port: 8000}]\n'

/** Every feature that looks into bodies, each in a rule of its own, and most of them in one. */
const rules = [
  speaking('V1'), speaking('V2'), speaking('GRPC'), speaking('OpenAI'),
  `${matching('shaped')}${http}    transform:
      request: {body: {set: [{pointer: /parameters/region, value: '"eu"'}, {pointer: /a/b/c, value: 'size(request.path)'}], remove: [/instances/*/ssn, /__proto__, /id]}}
      response: {body: {set: [{pointer: /seen, value: 'true'}], remove: [/debug, /outputs/*/x]}, enrich: {pointer: /parameters/modelroute, confidence: {pointer: /predictions, low: "0.6"}}}\n`,
  `${matching('checked')}${http}    validation:
      request: {source: Inline, schema: {type: object, properties: {instances: {type: array, maxItems: 8, items: {anyOf: [{type: object}, {type: array, items: {type: number}}]}}}, patternProperties: {"^p": {type: object}}}}
      response: {source: Inline, onError: Report, schema: {type: object, required: [predictions]}}\n`,
  `${matching('joined')}${http}    batching: {maxSize: 6, maxDelay: 20ms}\n`,
  `${matching('composed')}    compose:
      steps:
      - {name: a, backendRef: {name: http, port: 8000}, onError: Skip}
      - {name: b, backendRef: {name: http, port: 8000}, path: '/v1/models/b:predict', input: '{"instances": [request.body]}', onError: Skip}
      - {name: c, backendRef: {name: http, port: 8000}, path: '/v1/models/c:predict', forEach: 'request.body.instances', input: '{"instances": [item]}', onError: Skip}
      output: '{"a": steps.a.skipped ? null : steps.a.body, "b": steps.b.skipped ? null : steps.b.body, "c": steps.c.skipped ? null : steps.c.body}'\n`,
  `${matching('kept')}${http}    cache: {ttl: 1m, maxBytes: 4Mi, maxEntryBytes: 64Ki, vary: {pointers: [/instances, /inputs/0/data]}}\n`,
  `  - name: looked\n    matches: [{headers: [{name: x-rule, value: looked}], body: [{pointer: /parameters/region, value: eu}]}, {headers: [{name: x-rule, value: looked}], model: {name: m}}, {headers: [{name: x-rule, value: looked}]}]\n${http}`,
  `${matching('all')}    backendRefs: [{variant: only, name: http, port: 8000, protocol: V2}]
    validation: {request: {source: Inline, schema: {type: object}}}
    transform: {request: {body: {remove: [/ssn]}}, response: {body: {remove: [/debug]}}}
    cache: {ttl: 1m, maxBytes: 4Mi, maxEntryBytes: 64Ki}
    batching: {maxSize: 6, maxDelay: 20ms}\n`,
]
/** Those that join requests see more of them, so that there are some to join. */
const names = [...rules.map((rule) => /name: (\S+)/.exec(rule)?.[1] ?? ''), 'joined', 'joined', 'joined', 'all', 'all']

const manifest = (httpPort: number, grpcPort: number) => [
  `apiVersion: modelroute.io/v1alpha1\nkind: ModelRoute\nmetadata: {name: hostile, namespace: ml}\nspec:\n  rules:\n${rules.join('')}`, serviceAt('http', httpPort, 'ml'), serviceAt('grpc', grpcPort, 'ml'),
].join('\n---\n')

const predicted = Buffer.from('{"predictions":[[0.5],[0.25]]}')
const inferred = Buffer.from('{"model_name":"m","outputs":[{"name":"y","shape":[1,2],"datatype":"FP32","data":[1,2]}]}')
const message = framed(new MessageWriter().text(1, 'm').message(5, new MessageWriter().text(1, 'y').text(2, 'FP32').bytes(3, Buffer.from([1, 2])))
  .bytes(6, Buffer.from(new Float32Array([1, 2]).buffer)).whole())

export type Rig = Readonly<{
  ask(hostile: Hostile): Promise<number | 'broken'>
  /** The lines of the log since it was last asked. */
  said(): readonly string[]
}>

/** A proxy with all of it on, before backends of which every third answer is broken too. */
export async function startRig(t: TestContext, seed: number): Promise<Rig> {
  const broken = fc.sample(answers, { numRuns: 500, seed })
  let turn = 0
  const next = (usual: Buffer) => (turn++ % 3 === 0 ? broken[turn % broken.length] ?? usual : usual)
  const answering: RequestListener = (request, response) => {
    request.resume().on('end', () => {
      const { url = '' } = request
      const stream = url.endsWith('stream')
      response.writeHead(turn % 50 === 49 ? 500 : 200, { 'content-type': stream ? 'text/event-stream' : 'application/json' })
      response.end(next(url.startsWith('/v2') ? inferred : predicted))
    })
  }
  const httpPort = await httpUpstream(t, answering)
  const grpc = createHttp2Server()
  grpc.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {}).resume()
    stream.on('end', () => {
      // The gateway may have given the call up.
      if (stream.destroyed || stream.closed) return
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => { if (!stream.destroyed) stream.sendTrailers({ 'grpc-status': '0' }) })
      stream.end(next(message))
    })
  })
  grpc.listen(0, '127.0.0.1')
  await once(grpc, 'listening')
  const address = grpc.address()
  const dir = mkdtempSync(join(tmpdir(), 'hostile-'))
  writeFileSync(join(dir, 'all.yaml'), manifest(httpPort, typeof address === 'object' && address ? address.port : 0))
  const { snapshot, problems } = await readManifests([dir])
  rmSync(dir, { recursive: true })
  const { fleets, routes } = createCompiler({ allowUrls: [], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot)
  const errors = [...problems, ...[...routes.values()].flatMap((route) => route.problems)].filter(({ severity }) => severity === 'error')
  const fleet = fleets.get('default')
  if (errors.length > 0 || fleet === undefined) throw new Error(JSON.stringify(errors))
  let said = ''
  const log = createLog({ sink: { write: (more, done) => { said += more.toString(); done() } } })
  const proxy = await testProxy(t, { version: '1', ...fleet }, { log })
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const session = connect(proxy.url)
  session.on('error', () => {})
  t.after(() => {
    agent.destroy()
    session.destroy()
    grpc.close()
  })

  const overHttp1 = ({ rule, path, headers, body }: Hostile): Promise<number | 'broken'> => new Promise((resolve) => {
    const all: OutgoingHttpHeaders = { ...headers, 'x-rule': rule, 'content-length': body.length }
    httpRequest(new URL(path, proxy.url), { agent, method: 'POST', headers: all }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode ?? 0)).on('error', () => resolve('broken'))
    }).on('error', () => resolve('broken')).end(body)
  })
  const overHttp2 = ({ rule, path, headers, body }: Hostile): Promise<number | 'broken'> => new Promise((resolve) => {
    const stream = session.request({ ':method': 'POST', ':path': path, ...headers, 'x-rule': rule })
    let status = 0
    stream.on('response', (head) => { status = Number(head[':status']) }).on('error', () => resolve('broken')).on('close', () => resolve(status || 'broken')).resume()
    stream.end(body)
  })
  return {
    ask: (hostile) => (hostile.grpc ? overHttp2(hostile) : overHttp1(hostile)),
    said() {
      void log.flush()
      const lines = said.split('\n')
      said = lines.pop() ?? ''
      return lines
    },
  }
}

export type Tally = Readonly<{ sent: number; statuses: ReadonlyMap<string, number>; bugs: readonly string[]; changed: readonly string[] }>

const watched: readonly (readonly [name: string, object: object])[] = [
  ['Object.prototype', Object.prototype], ['Array.prototype', Array.prototype], ['Function.prototype', Function.prototype], ['String.prototype', String.prototype], ['Number.prototype', Number.prototype],
  ['Map.prototype', Map.prototype], ['Buffer.prototype', Buffer.prototype], ['Promise.prototype', Promise.prototype], ['Object', Object], ['Array', Array],
]
const ownOf = (object: object) => Reflect.ownKeys(object).map(String).sort().join()

/** What a mistake of the program says; a backend or a client never gets it to say that. */
const mistake = /TypeError|RangeError|ReferenceError|SyntaxError|is not a function|Cannot read prop|call stack/

/** Sends so many requests, some at a time. */
export async function attack(rig: Rig, count: number, seed: number, wide = 64): Promise<Tally> {
  const before = watched.map(([, object]) => ownOf(object))
  const statuses = new Map<string, number>()
  const bugs: string[] = []
  const portion = 2000
  for (let sent = 0; sent < count; sent += portion) {
    const all = fc.sample(hostiles(names), { numRuns: Math.min(portion, count - sent), seed: seed + sent })
    let next = 0
    await Promise.all(Array.from({ length: wide }, async () => {
      for (let hostile = all[next++]; hostile !== undefined; hostile = all[next++]) {
        const status = await rig.ask(hostile)
        statuses.set(`${status}`, (statuses.get(`${status}`) ?? 0) + 1)
        if (status === 504) bugs.push(`${status}: ${hostile.rule} ${hostile.path} ${hostile.body.toString('base64')}`)
      }
    }))
    for (const line of rig.said()) if (mistake.test(line)) bugs.push(line)
  }
  const changed = watched.flatMap(([name, object], i) => (ownOf(object) === before[i] ? [] : [name]))
  if (Reflect.has({}, 'polluted')) changed.push('polluted')
  return { sent: count, statuses, bugs, changed }
}
