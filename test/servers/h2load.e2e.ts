// h2load against the gateway: HTTP/2 with prior knowledge and over TLS, many streams on few connections, every one whole.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { authority } from '../certificates.ts'
import { temporaryFolder } from '../cluster/process.ts'
import { counts, watchMachine } from '../machine.ts'
import { ensurePackage } from './debian.ts'
import { backend, startServe, type Serving } from './serve.ts'

const run = promisify(execFile)

suite('h2load', () => {
  const body = Buffer.alloc(20_000, 'x')
  let seen = 0
  const server = createServer((request, response) => {
    seen++
    let size = 0
    request.on('data', (chunk: Buffer) => { size += chunk.length })
    request.on('end', () => response.end(request.url === '/large' ? body : String(size)))
  })
  let gateway: Serving
  let h2load = ''
  before(async () => {
    h2load = await ensurePackage('/usr/bin/h2load', 'nghttp2-client')
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
    const folder = temporaryFolder('h2load')
    const { cert, key } = authority('test').issue('gateway', ['127.0.0.1'])
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    writeFileSync(certFile, cert)
    writeFileSync(keyFile, key)
    const port = (server.address() as AddressInfo).port
    gateway = await startServe(backend('one', [port], '/'), '--log-level', 'warn', '--https-port', '0', '--tls-cert', certFile, '--tls-key', keyFile)
  }, { timeout: 300_000 })
  after(async () => {
    await gateway?.stop()
    server.closeAllConnections()
    server.close()
  })

  const upload = join(temporaryFolder('h2load'), 'body')
  writeFileSync(upload, Buffer.alloc(100_000, 'y'))
  for (const [name, port, path, count, more] of [
    ['with prior knowledge', 'http', '/x', 5000, []],
    ['over TLS', 'https', '/x', 5000, []],
    ['over TLS, 20 kB each', 'https', '/large', 2000, []],
    ['with prior knowledge, uploads of 100 kB', 'http', '/x', 500, ['-d', upload]],
  ] as const) {
    test(`${name}: ${count} requests, 50 at once on each of 8 connections`, { timeout: 120_000 }, async (t) => {
      const before = seen
      const url = new URL(path, gateway.urls[port])
      const end = watchMachine()
      const { stdout } = await run(h2load, ['-n', String(count), '-c', '8', '-m', '50', ...more, url.href], { timeout: 100_000 })
      const machine = end()
      assert.match(stdout, new RegExp(`requests: ${count} total, ${count} started, ${count} done, \\d+ succeeded, \\d+ failed, 0 errored, 0 timeout`), stdout)
      const [, good = 0, refused = 0] = (/status codes: (\d+) 2xx, 0 3xx, 0 4xx, (\d+) 5xx/.exec(stdout) ?? assert.fail(stdout)).map(Number)
      assert.equal(good + refused, count)
      assert.equal(seen - before, good)
      // Before anything is done for them, where the machine leaves the gateway too little.
      if (refused > 0) counts(t, `${refused} of ${count} were refused`, machine)
      t.diagnostic(/finished in .*/.exec(stdout)?.[0] ?? '')
    })
  }
})
