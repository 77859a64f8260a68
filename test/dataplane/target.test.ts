import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testProxy } from './proxy.ts'
import { httpUpstream, rawClient } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

const echo = (t: Parameters<typeof httpUpstream>[0]) =>
  httpUpstream(t, (request, response) => { response.end(JSON.stringify({ url: request.url, host: request.headers.host })) })

test('a model is asked for as the backend names it, query and all', { timeout: 120_000 }, async (t) => {
  const port = await echo(t)
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ variants: [variant('v', 'ml/s:80', { model: { name: 'b', version: '2' } })] })] })], { 'ml/s:80': [port] }))
  const response = await fetch(`${proxy.url}/v2/models/a/infer?x=%7e`, { method: 'POST', body: '{}' })
  assert.equal((await response.json() as { url: string }).url, '/v2/models/b/versions/2/infer?x=%7e')
  assert.equal(response.headers.get('x-modelroute-model-version'), '2')
  for (const [path, body] of [['/v1/models/a:predict', { error: /V1/ }], ['/v1/chat/completions', undefined]] as const) {
    const refused = await fetch(proxy.url + path, { method: 'POST', body: '{}' })
    assert.deepEqual([refused.status, refused.headers.get('x-modelroute-error')], [422, 'unsupported_translation'])
    const { error } = await refused.json() as { error: unknown }
    if (body) assert.match(String(error), body.error)
    else assert.equal((error as { code: string }).code, 'unsupported_translation')
  }
})

test('the Host is the caller\'s, unless the target has its own', { timeout: 120_000 }, async (t) => {
  const port = await echo(t)
  const target = { kind: 'endpoints' as const, set: 'ml/s:80', host: 'model.default.example.com' }
  const proxy = await testProxy(t, active('1', [route({ rules: [
    rule({ name: 'own', matches: [match('/own')], variants: [variant('v', 'ml/s:80', { target })] }), rule(),
  ] })], { 'ml/s:80': [port] }))
  const hostAt = async (path: string) => {
    const client = await rawClient(t, proxy.url)
    client.send(`GET ${path} HTTP/1.1\r\nHost: Caller.test\r\nConnection: close\r\n\r\n`)
    return /"host":"(?<host>[^"]*)"/.exec((await client.end()).text)?.groups?.['host']
  }
  assert.deepEqual([await hostAt('/'), await hostAt('/own')], ['Caller.test', 'model.default.example.com'])
})

test('a URL leads to this machine only where the table says so', { timeout: 120_000 }, async (t) => {
  const port = await echo(t)
  const url = (origin: string, loopback: boolean) => variant('v', 'x', { target: { kind: 'url', url: origin, loopback } })
  const to = (path: string, origin: string, loopback: boolean) => rule({ name: path, matches: [match(`/${path}`)], variants: [url(origin, loopback)] })
  const proxy = await testProxy(t, active('1', [route({ rules: [
    to('open', `http://127.0.0.1:${port}`, true), to('name', `http://localhost:${port}`, true),
    to('shut', `http://127.0.0.1:${port}`, false), to('shut-name', `http://localhost:${port}`, false),
    to('octal', `http://0177.1:${port}`, false), to('mapped', `http://[::ffff:127.0.0.1]:${port}`, false),
    to('metadata', 'http://169.254.169.254', true),
  ] })], {}))
  for (const path of ['open', 'name']) {
    const response = await fetch(`${proxy.url}/${path}`)
    assert.equal(response.status, 200, path)
    assert.match((await response.json() as { host: string }).host, new RegExp(`:${port}$`))
  }
  for (const path of ['shut', 'shut-name', 'octal', 'mapped', 'metadata']) {
    const response = await fetch(`${proxy.url}/${path}`)
    assert.deepEqual([response.status, response.headers.get('x-modelroute-error')], [502, 'upstream_connect_failed'], path)
  }
})

test('redirects are the caller\'s to follow', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.writeHead(302, { location: 'http://169.254.169.254/' }).end() })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const response = await fetch(proxy.url, { redirect: 'manual' })
  assert.deepEqual([response.status, response.headers.get('location')], [302, 'http://169.254.169.254/'])
})

test('405 has Allow, and 404 says nothing of other routes', { timeout: 120_000 }, async (t) => {
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ matches: [match('/only', { method: 'POST' })] })] })], {}))
  const wrong = await fetch(`${proxy.url}/only`)
  assert.deepEqual([wrong.status, wrong.headers.get('allow'), wrong.headers.get('x-modelroute-error')], [405, 'POST', 'method_not_allowed'])
  const missing = await fetch(`${proxy.url}/other`)
  assert.deepEqual([missing.status, missing.headers.get('allow'), missing.headers.get('content-type')], [404, null, 'application/problem+json'])
})

test('a body that nobody wants is read to its end, and the connection goes on', { timeout: 120_000 }, async (t) => {
  const proxy = await testProxy(t, active('1', [], {}))
  const client = await rawClient(t, proxy.url)
  client.send(`POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n`)
  await client.until((text) => text.includes('no_route'))
  client.send('x'.repeat(1_000_000))
  client.send('GET /y HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until((text) => text.split('HTTP/1.1 404').length === 3)
})

test('a version that a caller makes up is sent back only where it can stand in a header', { timeout: 120_000 }, async (t) => {
  const port = await echo(t)
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  for (const [version, expected] of [['3', '3'], ['%0d%0aset-cookie:x', null], ['%E2%82%AC', null], ['a%20b', null]] as const) {
    const response = await fetch(`${proxy.url}/v2/models/m/versions/${version}/infer`)
    assert.deepEqual([response.status, response.headers.get('x-modelroute-model-version')], [200, expected])
    await response.text()
  }
})
