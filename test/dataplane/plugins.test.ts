import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { openPlugins } from '../../dataplane/plugins/plugins.ts'
import type { Rule } from '../../table/route.ts'
import { until } from '../cluster/wait.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

type Seen = Readonly<{ url: string; headers: IncomingHttpHeaders; body: Buffer; at: string }>

/** Patient, so that a busy machine is not what is tested. */
const plugin = (name: string, build: string, more = 'timeout: 20_000,') => `export default {
  name: '${name}', ${more}
  schema: { type: 'object', properties: { word: { type: 'string' } }, additionalProperties: false },
  build({ config, route, rule }) { ${build} },
}
`

/** A proxy over a folder of plugins; the backend says what it is, or what `answer` says. */
async function proxyWith(t: TestContext, files: Readonly<Record<string, string>>, plugins: Rule['plugins'], answer = { headers: {}, body: 'ok' as string | Buffer }) {
  const folder = mkdtempSync(join(tmpdir(), 'plugins-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  for (const [name, text] of Object.entries(files)) write(name, text)
  const said: string[] = []
  const seen: Seen[] = []
  const server = (at: string) => httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).once('end', () => {
      seen.push({ url: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks), at })
      response.writeHead(200, { 'content-type': 'application/json', ...answer.headers }).end(answer.body)
    })
  })
  const opened = await openPlugins({ folder, log: (level, message, fields) => { said.push(`${level} ${message} ${JSON.stringify(fields)}`) }, every: 20 })
  const table = active('1', [route({ rules: [rule({
    variants: [variant('stable', 'ml/a:80'), variant('candidate', 'ml/b:80', { weight: 0 })], ...(plugins && { plugins }),
  })] })], { 'ml/a:80': [await server('stable')], 'ml/b:80': [await server('candidate')] })
  const proxy = await testProxy(t, undefined, { plugins: opened })
  const refused = proxy.activate(table)
  const ask = async (init: RequestInit = {}, path = '/v1/models/m:predict') => {
    const got = await fetch(`${proxy.url}${path}`, init)
    return { status: got.status, headers: got.headers, body: await got.text() }
  }
  return { proxy, ask, seen, said, write, refused, table, folder }
}

const post = (body: string | Buffer, headers: Record<string, string> = {}): RequestInit => ({ method: 'POST', body: typeof body === 'string' ? body : new Uint8Array(body), headers })

test('a plugin sees the request, changes what the backend gets, and what the client gets', { timeout: 120_000 }, async (t) => {
  const { ask, seen } = await proxyWith(t, { 'a.ts': plugin('a', `
    type Word = string
    const word: Word = config.word
    return async (exchange) => {
      const body = await exchange.readBody()
      exchange.setBody(body.toString().replace('secret', word))
      exchange.headers.set('x-word', [word, route, rule, exchange.method, exchange.path, exchange.query, exchange.model].join())
      exchange.headers.delete('x-gone')
      exchange.onResponse((response) => {
        response.headers.set('x-answer', String(response.status))
        response.setBody(response.body.toString().toUpperCase())
      }, { body: true })
    }`) }, [{ name: 'a', config: { word: 'w' } }])
  const got = await ask(post('a secret', { 'x-gone': '1' }), '/v1/models/m:predict?q=1')
  assert.deepEqual([got.status, got.body, got.headers.get('x-answer'), got.headers.get('x-modelroute-variant')], [200, 'OK', '200', 'stable'])
  const [one] = seen
  assert.deepEqual([one?.body.toString(), one?.headers['x-word'], one?.headers['x-gone'], one?.headers['content-length']],
    ['a w', 'w,ml/fraud,infer,POST,/v1/models/m:predict,?q=1,m', undefined, '3'])
})

test('it refuses in the protocol of the caller, answers itself, or chooses the variant', { timeout: 120_000 }, async (t) => {
  const { ask, seen } = await proxyWith(t, { 'a.js': plugin('a', `return (exchange) => {
    const what = exchange.headers.get('x-what')
    if (what === 'refuse') return { code: 'forbidden', detail: 'not today' }
    if (what === 'answer') return { status: 418, headers: { 'X-Tea': 'yes' }, body: 'short and stout' }
    exchange.chooseVariant('candidate')
  }`) }, [{ name: 'a', config: {} }])
  const refused = await ask(post('{}', { 'x-what': 'refuse' }))
  assert.deepEqual([refused.status, refused.body, refused.headers.get('x-modelroute-error')], [403, '{"error":"not today"}', 'forbidden'])
  const answered = await ask(post('{}', { 'x-what': 'answer' }))
  assert.deepEqual([answered.status, answered.body, answered.headers.get('x-tea'), answered.headers.get('x-request-id') !== null], [418, 'short and stout', 'yes', true])
  assert.equal(seen.length, 0)
  assert.equal((await ask(post('{}'))).headers.get('x-modelroute-variant'), 'candidate')
  assert.deepEqual(seen.map(({ at }) => at), ['candidate'])
})

test('a packed body is shown unpacked, and one that is a bomb is refused', { timeout: 120_000 }, async (t) => {
  const files = { 'a.js': plugin('a', `return async (exchange) => {
    const body = await exchange.readBody()
    if (config.word === 'set') exchange.setBody(body.toString().replace('secret', 'x'))
    exchange.onResponse((response) => { response.setBody(response.body.toString() + '!') }, { body: true })
  }`) }
  const packed = { headers: { 'content-encoding': 'gzip' }, body: gzipSync('packed') }
  const { ask, seen } = await proxyWith(t, files, [{ name: 'a', config: { word: 'set' } }], packed)
  assert.equal((await ask(post(gzipSync('a secret'), { 'content-encoding': 'gzip' }))).body, 'packed!')
  assert.deepEqual([seen[0]?.body.toString(), seen[0]?.headers['content-encoding']], ['a x', undefined])
  const bomb = await ask(post(gzipSync(Buffer.alloc(17 * 1024 * 1024)), { 'content-encoding': 'gzip' }))
  assert.deepEqual([bomb.status, bomb.headers.get('x-modelroute-error')], [413, 'request_too_large'])
  const broken = await ask(post('no gzip', { 'content-encoding': 'gzip' }))
  assert.deepEqual([broken.status, seen.length], [400, 1])

  const reads = await proxyWith(t, files, [{ name: 'a', config: {} }], packed)
  await reads.ask(post(gzipSync('a secret'), { 'content-encoding': 'gzip' }))
  assert.equal(gunzipSync(reads.seen[0]?.body ?? '').toString(), 'a secret')
})

for (const [what, body, why] of [
  ['throws', 'throw new Error("no such thing")', /no such thing/],
  ['rejects', 'await Promise.reject(new TypeError("later"))', /TypeError: later/],
  ['returns what nobody understands', 'return { status: 99 }', /neither nothing/],
  ['sets what frames the message', 'exchange.headers.set("content-length", "1")', /may not set the header content-length/],
  ['claims who calls', 'exchange.headers.set("x-modelroute-consumer", "root")', /may not set the header x-modelroute-consumer/],
  ['names a variant that there is not', 'exchange.chooseVariant("nobody")', /nobody is no variant/],
  ['does not come to an end', 'for (;;);', /took more than 100 ms/],
  ['never answers', 'await new Promise(() => {})', /took more than 100 ms/],
  ['ends its thread', 'process.exit(1)', /its thread ended/],
] as const) {
  test(`a plugin that ${what} costs its own requests, and no others`, { timeout: 120_000 }, async (t) => {
    const { ask, proxy, seen } = await proxyWith(t, {
      'bad.js': plugin('bad', `return async (exchange) => { if (exchange.headers.has('x-bad')) { ${body} } }`, why.source.includes('100 ms') ? 'timeout: 100,' : undefined),
    }, [{ name: 'bad', config: {} }])
    const got = await ask(post('{}', { 'x-bad': '1' }))
    assert.deepEqual([got.status, got.body, got.headers.get('x-modelroute-error')], [500, '{"error":"A plugin of the gateway failed."}', 'plugin_failed'])
    await eventually(() => proxy.lines().length === 1)
    assert.match(String(proxy.lines()[0]?.['cause']), why)
    assert.equal(seen.length, 0)
    // The gateway goes on at once, and the plugin as soon as its thread is there again.
    await until('it', async () => (await ask(post('{}'))).status === 200, { timeout: 60_000, every: 20 })
    const metrics = await (await fetch(`${proxy.urls.health}/metrics`)).text()
    assert.match(metrics, /modelroute_plugin_calls_total\{plugin="bad",result="(?:error|timeout|gone)"\} [1-9]/)
  })
}

test('one that is to be skipped when it fails lets the request and the answer pass as they are', { timeout: 120_000 }, async (t) => {
  const { ask, seen } = await proxyWith(t, { 'a.js': plugin('a', `return (exchange) => {
    if (exchange.headers.has('x-bad')) throw new Error('no')
    exchange.onResponse((response) => { response.setBody('lost'); throw new Error('no') }, { body: true })
  }`, "onError: 'Skip', timeout: 20_000,") }, [{ name: 'a', config: {} }])
  assert.equal((await ask(post('{}', { 'x-bad': '1' }))).body, 'ok')
  assert.equal((await ask(post('{}'))).body, 'ok')
  assert.equal(seen.length, 2)
})

test('an answer that the plugin fails over does not go out', { timeout: 120_000 }, async (t) => {
  for (const options of ['{ body: true }', '{ body: false }']) {
    const { ask } = await proxyWith(t, { 'a.js': plugin('a', `return (exchange) => { exchange.onResponse(() => { throw new Error('no') }, ${options}) }`) }, [{ name: 'a', config: {} }])
    const got = await ask(post('{}'))
    assert.deepEqual([got.status, got.headers.get('x-modelroute-error')], [500, 'plugin_failed'])
  }
})

test('a plugin is replaced without a restart; what cannot be used leaves the last good version', { timeout: 120_000 }, async (t) => {
  const version = (n: string, more = '') => plugin('a', `return (exchange) => ({ status: 200, body: '${n} ' + config.word })`, more)
  const { ask, write, said } = await proxyWith(t, { 'a.js': version('one') }, [{ name: 'a', config: { word: 'x' } }])
  assert.equal((await ask()).body, 'one x')
  write('a.js', version('two'))
  await until('it', async () => (await ask()).body === 'two x', { timeout: 60_000, every: 20 })
  for (const [text, why] of [
    ['export default {', /SyntaxError|Unexpected end/],
    ['export default { name: "A" }', /name: must be at most 63/],
    [version('three').replace("type: 'string'", "type: 'number'"), /do not fit its new schema/],
    [version('three').replace("type: 'object'", "type: 'thing'"), /its schema cannot be used/],
    ['import "./nowhere.js"\n', /Cannot find module/],
  ] as const) {
    const before = said.length
    write('a.js', text)
    await eventually(() => said.slice(before).some((line) => why.test(line)))
    assert.equal((await ask()).body, 'two x')
  }
  write('b.js', version('other'))
  await eventually(() => said.some((line) => line.includes('has a plugin of that name already')))
  write('a.js', version('four'))
  await until('it', async () => (await ask()).body === 'four x', { timeout: 60_000, every: 20 })
})

test('a plugin that was not loaded in time is loaded again, though its file is the same', { timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'plugins-'))
  t.after(() => rmSync(folder, { recursive: true }))
  // A folder in it is not looked at.
  const go = join(folder, 'go')
  writeFileSync(join(folder, 'a.js'), `import { existsSync } from 'node:fs'
while (!existsSync(${JSON.stringify(go)})) await new Promise((resolve) => setTimeout(resolve, 5))
${plugin('a', 'return () => undefined')}`)
  const said: string[] = []
  const late = () => said.some((line) => line.includes('was not loaded in time'))
  const plugins = await openPlugins({ folder, log: (_level, _message, fields) => { said.push(JSON.stringify(fields)) }, every: 20, patience: () => late() ? 60_000 : 50 })
  t.after(() => plugins.close())
  assert.ok(late())
  assert.match(plugins.fault('a', {}) ?? '', /there is no plugin "a"/)
  mkdirSync(go)
  await eventually(() => plugins.fault('a', {}) === undefined)
})

test('what plugins share is followed too', { timeout: 120_000 }, async (t) => {
  const { ask, write } = await proxyWith(t, {
    '_words.js': "export const word = 'one'", 'a.js': `import { word } from './_words.js'\n${plugin('a', 'return () => ({ status: 200, body: word })')}`,
  }, [{ name: 'a', config: {} }])
  assert.equal((await ask()).body, 'one')
  write('_words.js', "export const word = 'two'")
  await until('it', async () => (await ask()).body === 'two', { timeout: 60_000, every: 20 })
})

test('settings that do not fit the schema, and a plugin that there is not, refuse the route', { timeout: 120_000 }, async (t) => {
  const files = { 'a.js': plugin('a', 'return () => undefined') }
  const wrong = await proxyWith(t, files, [{ name: 'a', config: { word: 1 } }])
  assert.deepEqual(wrong.refused, [{ id: 'ml/fraud', message: 'rule infer: the settings of a do not fit its schema: config/word must be string' }])
  const unknown = await proxyWith(t, files, [{ name: 'b', config: {} }])
  assert.deepEqual(unknown.refused, [{ id: 'ml/fraud', message: 'rule infer: there is no plugin "b"; there are: a' }])
})

test('the examples: what tells who somebody is stays out, and a service says who gets which variant', { timeout: 120_000 }, async (t) => {
  const asked: string[] = []
  const service = await httpUpstream(t, (request, response) => {
    asked.push(request.url ?? '')
    response.writeHead(request.url?.includes('user=down') === true ? 500 : 200).end(JSON.stringify({ variant: 'candidate' }))
  })
  const { ask, seen, folder, refused, proxy, table } = await proxyWith(t, { 'x.js': plugin('x', 'return () => undefined') }, [
    { name: 'pii-redaction', config: { kinds: ['email', 'card'], answers: true } },
    { name: 'ab-assignment', config: { url: `http://127.0.0.1:${service}/assign`, experiment: 'tone' } },
  ], { headers: {}, body: '{"content":"write to \\u0061nn@example.org","n":4111111111111111}' })
  assert.equal(refused.length, 1)
  // They import the types that they are written against, which are gone when they run.
  for (const name of ['pii-redaction', 'ab-assignment']) {
    const text = readFileSync(join(import.meta.dirname, `../../examples/plugins/${name}.ts`), 'utf8')
    writeFileSync(join(folder, `${name}.ts`), text.replace('timeout: 300,', '').replace(`name: '${name}',`, `name: '${name}', timeout: 20_000,`))
  }
  await eventually(() => proxy.activate({ ...table, routes: new Map([...table.routes].map(([id, one]) => [id, { ...one }])) }).length === 0)
  const got = await ask(post('{"content":"I am ann@example.org, 4111 1111 1111 1111","n":4111111111111111}', { 'x-user': 'ann' }))
  assert.equal(seen[0]?.body.toString(), '{"content":"I am [email], [card]","n":4111111111111111}')
  assert.equal(got.body, '{"content":"write to [email]","n":4111111111111111}')
  assert.deepEqual([seen[0]?.at, got.headers.get('x-experiment'), asked], ['candidate', 'tone=candidate', ['/assign?experiment=tone&user=ann']])
  await ask(post('{}', { 'x-user': 'ann' }))
  assert.equal(asked.length, 1)
  assert.equal((await ask(post('{}', { 'x-user': 'down' }))).headers.get('x-modelroute-variant'), 'stable')
})
