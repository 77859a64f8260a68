import assert from 'node:assert/strict'
import { createServer, request, type RequestListener } from 'node:http'
import test, { type TestContext } from 'node:test'
import type { Api } from '../controller/kubernetes/api.ts'
import type { Options } from './flags.ts'
import { readOptions } from './options.ts'
import { selftest } from './selftest.ts'

type Condition = Readonly<{ type: string; status: string; reason: string; message?: string; observedGeneration?: number }>
type Spec = { gatewayNames: string[]; hostnames: string[]; rules: [{ backendRefs: [{ name: string; port: number }] }] }
type Made = { metadata: { ownerReferences: unknown[] }; spec: Spec }

const programmed: Condition = { type: 'Programmed', status: 'True', reason: 'Programmed', observedGeneration: 1 }

async function listen(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => new Promise((resolve) => server.close(resolve)))
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`
}

/** A cluster that knows one route, whose conditions are what each look finds, the last one from then on. */
async function installation(t: TestContext, looks: readonly (readonly Condition[])[], { gateway = 'forwards', timeout = '60s' } = {}) {
  const asked: string[] = []
  let made: Made | undefined
  let at = 0
  const api: Api = {
    namespace: 'gateway',
    call: async ({ method = 'GET', path, body }) => {
      asked.push(`${method} ${path}`)
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the test itself looks at
      if (method === 'POST') made = body as Made
      const conditions = method === 'GET' ? looks[Math.min(at++, looks.length - 1)] : undefined
      return { status: 200, message: '', body: { metadata: { name: 'selftest-x', generation: 1 }, ...(conditions !== undefined && conditions.length > 0 && { status: { conditions } }) } }
    },
    stream: () => Promise.reject(new Error('nothing is followed')),
    close: () => {},
  }
  const proxy = await listen(t, (incoming, response) => {
    if (gateway !== 'forwards' || made === undefined || incoming.headers.host !== made.spec.hostnames[0]) {
      response.writeHead(503, { 'x-modelroute-error': 'no_endpoints' }).end('none')
      return
    }
    const { port } = made.spec.rules[0].backendRefs[0]
    request({ host: '127.0.0.1', port, path: incoming.url }, (answer) => answer.pipe(response)).end()
  })
  const words = [
    '--through', `default=${proxy}`, '--through', `internal=${proxy}/`, '--service', 'selftest', '--owner', 'pod=uid',
    '--host', '127.0.0.1', '--http-port', '0', '--timeout', timeout,
  ]
  const options = readOptions('selftest', words, {})
  if ('usage' in options) throw new Error(options.usage.join('; '))
  const typed: Options<'selftest'> = options
  let [out, err] = ['', '']
  const code = await selftest(typed, { stdout: (text) => (out += text), stderr: (text) => (err += text) }, () => Promise.resolve(api))
  return { code, out, err, asked, made }
}

const deleted = 'DELETE /apis/modelroute.io/v1alpha1/namespaces/gateway/modelroutes/selftest-x'

test('a route to the process itself is programmed, asked for through each gateway, and taken away', async (t) => {
  const stale = { ...programmed, observedGeneration: 0 }
  const { code, out, err, asked, made } = await installation(t, [[], [stale], [programmed]])
  assert.equal(err, '')
  assert.equal(code, 0)
  assert.match(out, /selftest-x: made\n.*selftest-x: Programmed\ngateway default: .* leads to .*\ngateway internal: .* leads to/)
  assert.deepEqual(made?.spec.gatewayNames, ['default', 'internal'])
  assert.deepEqual(made?.metadata.ownerReferences, [{ apiVersion: 'v1', kind: 'Pod', name: 'pod', uid: 'uid' }])
  assert.equal(asked.filter((line) => line.startsWith('GET')).length, 3)
  assert.equal(asked.at(-1), deleted)
})

test('what keeps the route from being programmed is said, and the route goes', async (t) => {
  const conflict: Condition = { type: 'Accepted', status: 'False', reason: 'Conflicted', message: "the host is another namespace's", observedGeneration: 1 }
  const { code, err, asked } = await installation(t, [[conflict]], { timeout: '1ms' })
  assert.equal(code, 1)
  assert.match(err, /not Programmed: Accepted=False \(Conflicted\) the host is another namespace's\n$/)
  assert.equal(asked.at(-1), deleted)
})

test('a gateway that does not lead there is named with what it answers', async (t) => {
  const { code, err, asked } = await installation(t, [[programmed]], { gateway: 'refuses', timeout: '1ms' })
  assert.equal(code, 1)
  assert.match(err, /http:\/\/127\.0\.0\.1:[0-9]+ should answer with the word of the test, but it is 503 no_endpoints: none/)
  assert.equal(asked.at(-1), deleted)
})
