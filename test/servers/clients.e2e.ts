// The clients that people have for servers of models, unmodified, and every protocol that a server may speak behind the gateway: Triton,
// MLServer and KServe's own, each by a name of its own at one address.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { portOf, routeTo } from '../manifests.ts'
import { startServe, type Serving } from './serve.ts'
import { startKserve, startMlserver, startTriton, type OtherServer } from './servers.ts'
import { cannotRun, ensureVenv, type Venv } from './venv.ts'

const run = promisify(execFile)

/** Callers know the model by this name, and its server as `add`. */
const route = (name: string, address: string, protocol: string) =>
  routeTo(name, portOf(address), { matches: `{model: {name: ${name}}}`, protocol, model: 'add' })

suite('clients of Triton and KServe, and servers of every protocol', { skip: await cannotRun() }, () => {
  const servers: Record<string, OtherServer> = {}
  let gateway: Serving
  let sdk: Venv
  let kserve: Venv

  before(async () => {
    [sdk, kserve] = [await ensureVenv('sdk'), await ensureVenv('kserve')]
    const [triton, mlserver, kserver] = await Promise.all([startTriton(), startMlserver(), startKserve()])
    Object.assign(servers, { triton, mlserver, kserve: kserver })
    gateway = await startServe(Object.entries(servers).map(([name, { http, grpc }]) => route(`${name}-v2`, http, 'V2') + route(`${name}-grpc`, grpc, 'GRPC')).join('')
      + route('kserve-v1', kserver.http, 'V1'))
  }, { timeout: 600_000 })
  after(async () => {
    await Promise.all([gateway?.stop(), ...Object.values(servers).map((server) => server.stop())])
  })

  /** What both clients print, by what they asked. */
  async function said(http: string, grpc: string, model: string): Promise<ReadonlyMap<string, string>> {
    const host = http.replace('http://', '')
    const outputs = await Promise.all(([[sdk, 'crossing.py'], [kserve, 'kserve_client.py']] as const).map(async ([venv, script]) => {
      const { stdout } = await run(venv.python, [join(import.meta.dirname, 'sdk', script), host, grpc, model], { timeout: 60_000 })
      return stdout.trim().split('\n').map((line) => {
        const colon = line.indexOf(': ')
        return [`${script.slice(0, 6)} ${line.slice(0, colon)}`, line.slice(colon + 2).replaceAll(host, 'HOST')] as const
      })
    }))
    return new Map(outputs.flat())
  }

  const [plain, thousand] = ['0000404000008040caf2c97100000080', '00c07a4400007b44caf2c97100007a44']
  const through = (name: string) => {
    const url = gateway.urls['http'] ?? ''
    return said(url, url.replace('http://', ''), name)
  }

  test('all of them ask the gateway whether it lives, is ready and which models it has', { timeout: 120_000 }, async () => {
    const answers = await through('triton-v2')
    const yes = [...answers].filter(([name]) => / (?:live|(?<!unknown )ready|server|index)$/.test(name))
    assert.ok(yes.length >= 15)
    assert.deepEqual(yes.filter(([, what]) => what !== 'True'), [])
    assert.deepEqual([answers.get('crossi http unknown ready'), answers.get('kserve v2 unknown ready')], ['False', 'False'])
    for (const kind of ['http', 'grpc']) assert.equal(answers.get(`crossi ${kind} metadata`), "['A', 'B']")
  })

  const asks = ['crossi http json', 'crossi http binary', 'crossi grpc infer', 'kserve v2 json', 'kserve v2 binary', 'kserve grpc infer'] as const
  /** What a client makes of a server of its own protocol, it makes of it through the gateway: also where that is an error. */
  const own: Readonly<Record<string, (ask: string) => boolean>> = { v2: (ask) => / (?:http|v2) /.test(ask), grpc: (ask) => / grpc /.test(ask) }

  for (const [name, sum] of [['triton', thousand], ['mlserver', plain], ['kserve', plain]] as const) {
    for (const protocol of ['v2', 'grpc'] as const) {
      test(`${name} that speaks ${protocol}: callers of its protocol get what it answers itself, those of the others the same numbers`, { timeout: 120_000 }, async () => {
        const { http = '', grpc = '' } = servers[name] ?? {}
        const [direct, answers] = [await said(http, grpc, 'add'), await through(`${name}-${protocol}`)]
        for (const ask of asks) {
          const wanted = own[protocol]?.(ask) === true ? direct.get(ask) : ask.startsWith('kserve') ? `[('SUM', '${sum}')]` : sum
          assert.equal(answers.get(ask), wanted, ask)
        }
        const predicted = name === 'triton' ? [1003, 1004, '2.0000000300949324e+30', '1000.0'] : [3, 4, '2.0000000300949324e+30', '-0.0']
        const list = predicted.map((one) => (typeof one === 'number' ? `${one}.0` : one))
        // MLServer gives a column of one.
        assert.equal(answers.get('kserve v1 predict'), `{'predictions': [${list.map((one) => (name === 'mlserver' ? `[${one}]` : one)).join(', ')}]}`)
      })
    }
  }

  test('kserve that speaks V1: rows have no names and are doubles, all numbers stay', { timeout: 120_000 }, async () => {
    const answers = await through('kserve-v1')
    assert.equal(answers.get('kserve v1 predict'), "{'predictions': [3.0, 4.0, 2.0000000300949324e+30, -0.0]}")
    for (const ask of ['kserve v2 json', 'kserve v2 binary', 'kserve grpc infer']) assert.equal(answers.get(ask), `[('output-0', '${plain}')]`)
  })
})
