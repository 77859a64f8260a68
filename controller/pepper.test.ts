import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { FakeServer } from '../test/fakes/api-server.ts'
import { SECRETS } from './kubernetes/kinds.ts'
import { keptPepper, pepperFrom } from './pepper.ts'

async function cluster(t: test.TestContext) {
  const server = await new FakeServer().listen()
  server.install(SECRETS)
  const api = server.connect()
  const lines: string[] = []
  t.after(async () => {
    api.close()
    await server.close()
  })
  const log = (level: string, message: string, fields = {}) => void lines.push(`${level} ${message} ${JSON.stringify(fields)}`)
  const stop = new AbortController()
  return { server, lines, stop, keep: () => keptPepper({ api, log, signal: stop.signal }), namespace: api.namespace }
}

test('replicas agree on one pepper, which is kept in a Secret and never logged', async (t) => {
  const { server, keep, lines, namespace } = await cluster(t)
  const [a, b] = await Promise.all([keep(), keep()])
  assert.deepEqual(a, b)
  assert.deepEqual(await keep(), a)
  assert.equal(a.length, 64)
  const stored = server.get(SECRETS, namespace, 'modelroute-pepper')
  assert.equal(stored?.['type'], 'Opaque')
  assert.deepEqual(stored['data'], { pepper: Buffer.from(a).toString('base64') })
  assert.ok(!lines.join('\n').includes(Buffer.from(a).toString()))
})

test('where it may not keep one, it makes do with one of this process, and says what that costs', async (t) => {
  const { server, keep, lines } = await cluster(t)
  server.intercept = (_, response) => {
    response.writeHead(403, { 'content-type': 'application/json' }).end('{"kind":"Status","message":"forbidden"}')
    return true
  }
  assert.equal((await keep()).length, 64)
  assert.match(lines.join('\n'), /^error pepper .*knows no API key/m)
})

test('while the API server is away it waits', async (t) => {
  const { server, keep } = await cluster(t)
  let away = 2
  server.intercept = (_, response) => {
    if (away-- <= 0) return false
    response.destroy()
    return true
  }
  const first = await keep()
  assert.deepEqual(await keep(), first)
})

test('a file and a Secret of one content are one pepper; one too short to be one is refused', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-pepper-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'pepper')
  writeFileSync(file, `${'ab'.repeat(32)}\n`)
  assert.equal(Buffer.from(await pepperFrom(file)).toString(), 'ab'.repeat(32))
  writeFileSync(file, 'short')
  await assert.rejects(pepperFrom(file), /32 are the least/)
})
