import assert from 'node:assert/strict'
import { Agent, request as httpRequest } from 'node:http'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Ajv2020 } from 'ajv/dist/2020.js'
import * as fc from 'fast-check'
import type { Rule } from '../../table/route.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, match, route, rule } from './table.ts'
import { bodyOf } from './tries/rig.ts'

/** Bodies as nobody should send them, to rules that check and change bodies; and answers of that kind. */

const names = fc.constantFrom('inputs', 'instances', 'outputs', 'name', 'datatype', 'shape', 'data', 'parameters', 'ssn', 'a', '__proto__', 'constructor', 'toString', 'a/b', '~', '')
const scalars = fc.oneof(fc.constantFrom<unknown>('x', 'FP32', 'BYTES', 'INT64', '078-05-1120', '', null, true, 0, -1, 1, 4, 2.5, 1e308, 2 ** 53), fc.integer(), fc.double({ noNaN: true }), fc.string({ maxLength: 8 }))
const value = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4, withCrossShrink: true }, scalars, fc.array(tie('value'), { maxLength: 4 }), fc.dictionary(names, tie('value'), { maxKeys: 5, noNullPrototype: true })),
})).value
const tensor = fc.record({
  name: fc.constantFrom<unknown>('x', 'label', 'z', '__proto__', 3), datatype: fc.constantFrom<unknown>('FP32', 'BYTES', 'INT64', 'constructor', null),
  shape: fc.oneof(fc.array(fc.integer({ min: -1, max: 5 }), { maxLength: 4 }), scalars), data: fc.oneof(fc.array(scalars, { maxLength: 6 }), value),
  parameters: fc.oneof(fc.record({ binary_data_size: fc.constantFrom<unknown>(0, 4, 16, -1, 1e20, '4'), ssn: fc.constant(1) }), value),
}, { requiredKeys: [] })
const good = fc.constantFrom(
  { instances: [{ a: 1, ssn: 's' }, { a: 2.5 }] },
  { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }, { name: 'label', datatype: 'BYTES', shape: [1, 1], data: ['a'] }], parameters: { ssn: 1 } },
)
const shaped = fc.oneof(good, value, fc.record({ inputs: fc.array(tensor, { maxLength: 3 }), outputs: value, parameters: value }, { requiredKeys: [] }), fc.record({ instances: fc.array(value, { maxLength: 4 }), ssn: scalars }, { requiredKeys: ['instances'] }))

/** What is put into a text, somewhere. */
const splinters = ['{', '}', '[', ']', '"', '\\', ',', ':', '\\u0000', '\\ud800', '\0', 'NaN', '-Infinity', '1e999', '0x10', '//', '/*"*/', '"ssn":1,', '"\\u0073sn":1,', '"__proto__":{"polluted":1},', '\u{feff}', '\r\n', '[[[[[[[['.repeat(40), '{"a":'.repeat(40), '9'.repeat(400), Buffer.from([0xff, 0xc0, 0x80]).toString('latin1')]
const cut = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), length: fc.nat(6), with: fc.constantFrom('', ...splinters) })
const text = fc.tuple(shaped, fc.constantFrom(0, 1, 2), fc.oneof({ weight: 1, arbitrary: fc.constant([]) }, { weight: 3, arbitrary: fc.array(cut, { minLength: 1, maxLength: 3 }) })).map(([json, space, cuts]) => {
  let body = Buffer.from(JSON.stringify(json, null, space))
  for (const { at, length, with: put } of cuts) {
    const from = Math.floor(at * body.length)
    body = Buffer.concat([body.subarray(0, from), Buffer.from(put, 'latin1'), body.subarray(from + length)])
  }
  return body
})
const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
const framed = fc.tuple(bytes, fc.integer({ min: -2, max: 2 }), fc.constantFrom(0, 1, 2)).map(([message, off, flag]) => {
  const head = Buffer.alloc(5)
  head[0] = flag
  head.writeUInt32BE(Math.max(0, message.length + off), 1)
  return Buffer.concat([head, message])
})

type Hostile = Readonly<{ path: string; headers: Readonly<Record<string, string>>; body: Buffer; answer: Buffer }>

const grpcPath = '/inference.GRPCInferenceService/ModelInfer'
const hostile: fc.Arbitrary<Hostile> = fc.oneof(
  { weight: 8, arbitrary: fc.record({
    path: fc.constantFrom('/schema/v1/models/m:predict', '/v1/models/m:predict', '/v2/models/m/infer'),
    headers: fc.oneof({ weight: 4, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: fc.constantFrom({ 'content-encoding': 'gzip' }, { 'content-encoding': 'br' }) },
      { weight: 1, arbitrary: fc.constantFrom('0', '5', '40', '999', 'x').map((length) => ({ 'inference-header-content-length': length })) }),
    body: fc.oneof({ weight: 6, arbitrary: text }, { weight: 1, arbitrary: bytes }), answer: fc.oneof({ weight: 3, arbitrary: text }, { weight: 1, arbitrary: bytes }),
  }) },
  { weight: 1, arbitrary: fc.record({ path: fc.constant(grpcPath), headers: fc.constant({ 'content-type': 'application/grpc', te: 'trailers' }), body: framed, answer: bytes }) },
)

const schema = { type: 'object', properties: { instances: { type: 'array', items: { type: 'object', properties: { a: { type: 'number' } } } } }, required: ['instances'], additionalProperties: { not: { type: 'null' } } }
const transform: NonNullable<Rule['transform']> = {
  request: { body: { remove: ['/ssn', '/instances/*/ssn', '/parameters/ssn'], set: [{ pointer: '/region', value: '"eu"' }] } },
  response: { body: { remove: ['/ssn', '/instances/*/ssn', '/parameters/ssn'], set: [] }, enrich: { pointer: '/from', confidence: { pointer: '/a', low: 0.5 } } },
}
const byModel = { source: 'ModelMetadata' } as const
const bySchema = { source: 'Schema', schema } as const

/** What a client may be told; anything else would be a fault of the gateway's. */
const statuses = new Set([200, 400, 413, 422, 502])

/** Sends them, so many at once, and holds the gateway to what it promised. */
export async function sendHostile(t: TestContext, count: number, seed: number): Promise<ReadonlyMap<number, number>> {
  const answers = new Map<string, Buffer>()
  const fits = new Ajv2020({ strict: false }).compile(schema)
  const metadata = JSON.stringify({ name: 'm', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }, { name: 'label', datatype: 'BYTES', shape: [-1, 1] }], outputs: [{ name: 'y', datatype: 'FP32', shape: [-1] }] })
  const serving = { metadata: { signature_def: { signature_def: { serving_default: { inputs: { a: { dtype: 'DT_FLOAT', tensor_shape: { dim: [{ size: '-1' }] } } }, outputs: {} } } } } }
  const wrong: string[] = []
  const port = await httpUpstream(t, (request, response) => {
    void bodyOf(request).then((body) => {
      const { url = '', headers } = request
      if (request.method === 'GET') {
        response.writeHead(url.endsWith('/config') ? 404 : 200).end(url.endsWith('/metadata') ? JSON.stringify(serving) : metadata)
        return
      }
      const fault = url.startsWith('/schema') ? reached(body, headers['inference-header-content-length']?.toString(), fits) : undefined
      if (fault !== undefined) wrong.push(`${fault}: ${body.toString('latin1').slice(0, 300)}`)
      response.writeHead(200, { 'content-type': 'application/json' }).end(answers.get(String(headers['x-case'])) ?? '{}')
    }, () => {})
  })
  const checked = (side: typeof byModel | typeof bySchema): Partial<Rule> => ({ validation: { request: side, response: { ...side, ...(side === byModel && { reject: true as const }) } } })
  const proxy = await testProxy(t, active('1', [route({ rules: [
    rule({ name: 'schema', matches: [match('/schema')], transform, ...checked(bySchema) }), rule({ name: 'model', ...checked(byModel) }),
  ] })], { 'ml/s:80': [port] }))
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  t.after(() => agent.destroy())
  const told = new Map<number, number>()
  const send = async (one: Hostile, at: number): Promise<void> => {
    answers.set(String(at), one.answer)
    const ask = () => new Promise<number>((resolve, reject) => {
      const sent = httpRequest(proxy.url + one.path, { method: 'POST', agent, headers: { ...one.headers, 'x-case': String(at), 'content-length': one.body.length } }, (response) => {
        response.resume()
        response.on('close', () => resolve(response.headers['x-modelroute-error'] === 'overloaded' ? overloaded : response.statusCode ?? 0))
        response.on('error', reject)
      })
      sent.on('error', reject)
      sent.end(one.body)
    })
    let status = await ask()
    // A machine with other things to do: nobody has looked at the body.
    for (let again = 0; status === overloaded && again < 100; again++) {
      await pause(100)
      status = await ask()
    }
    answers.delete(String(at))
    told.set(status, (told.get(status) ?? 0) + 1)
    if (!statuses.has(status)) wrong.push(`${status}: ${one.path} ${one.body.toString('latin1').slice(0, 300)}`)
  }
  for (let from = 0; from < count && wrong.length === 0; from += batch) {
    await Promise.all(fc.sample(hostile, { numRuns: Math.min(batch, count - from), seed: seed + from }).map((one, i) => send(one, from + i)))
  }
  assert.deepEqual(wrong, [])
  for (const name of ['polluted', 'ssn', 'a', 'inputs']) assert.equal(name in {}, false)
  assert.equal((await fetch(`${proxy.urls.health}/healthz`)).status, 200)
  return told
}

/** In place of the status of what the gateway refused for it has too much to do. */
const overloaded = 0

/** Made, and sent, at a time. */
const batch = 64

/** What is wrong with a body that the model was given. */
function reached(body: Buffer, header: string | undefined, fits: (value: unknown) => boolean): string | undefined {
  let value: unknown
  try {
    value = JSON.parse(body.subarray(0, header === undefined ? undefined : Number(header)).toString())
  } catch {
    return 'no JSON reached the model'
  }
  if (!fits(value)) return 'what does not fit reached the model'
  const whole = value as { ssn?: unknown; region?: unknown; instances: Record<string, unknown>[]; parameters?: unknown }
  const parameters = typeof whole.parameters === 'object' && whole.parameters !== null ? whole.parameters : {}
  const sensitive = Object.hasOwn(whole, 'ssn') || Object.hasOwn(parameters, 'ssn') || whole.instances.some((one) => Object.hasOwn(one, 'ssn'))
  return sensitive ? 'what was to be taken out reached the model' : whole.region === 'eu' ? undefined : 'what was to be written did not reach the model'
}
