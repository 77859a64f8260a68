// Certificates by name as curl and h2load see them: from Secrets among the manifests, replaced while streams go on.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { authority, type Certified } from '../certificates.ts'
import { temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { ensurePackage } from './debian.ts'
import { backend, startServe, type Serving } from './serve.ts'

const run = promisify(execFile)
const ca = authority('test')
const hosts = ['one.example.com', 'two.example.com'] as const

const secretOf = (host: string, { cert, key }: Certified) => stringify({
  apiVersion: 'v1', kind: 'Secret', metadata: { name: host.replaceAll('.', '-') }, type: 'kubernetes.io/tls',
  stringData: { 'tls.crt': cert, 'tls.key': key },
})

const routeOf = (host: string) => stringify({
  apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: host.split('.')[0] },
  spec: {
    hostnames: [host], tls: { certificateRefs: [{ name: host.replaceAll('.', '-') }] },
    rules: [{ name: 'all', backendRefs: [{ variant: 'only', name: 'model', port: 8000 }] }],
  },
})

suite('certificates by name', () => {
  const folder = temporaryFolder('sni')
  const [secrets, authorityFile] = [join(folder, 'secrets.yaml'), join(folder, 'ca.pem')]
  const server = createServer((_request, response) => { response.end('ok') })
  let gateway: Serving
  let port = ''
  const write = (subject: string) => writeFileSync(secrets, hosts.map((host) => secretOf(host, ca.issue(`${subject} ${host}`, [host]))).join('---\n'))

  /** The subject of what curl is shown and accepts, and the protocol that it then speaks. */
  async function curl(host: string): Promise<string> {
    const { stdout, stderr } = await run('curl', ['-sv', '--cacert', authorityFile, '--resolve', `${host}:${port}:127.0.0.1`, '-o', '-', '-w', ' %{http_code} %{http_version}', `https://${host}:${port}/`])
    return `${/subject: CN=([^;\n]*)/.exec(stderr)?.[1]?.trim() ?? ''} ${stdout}`
  }

  before(async () => {
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
    write('first')
    writeFileSync(authorityFile, ca.cert)
    const routes = join(folder, 'routes.yaml')
    writeFileSync(routes, hosts.map(routeOf).join('---\n'))
    const upstream = (server.address() as AddressInfo).port
    gateway = await startServe(backend('model', [upstream], '/plain'), '-f', routes, '-f', secrets, '--https-port', '0', '--log-level', 'warn')
    await until('the TLS port', () => 'https' in gateway.urls)
    port = new URL(gateway.urls['https'] ?? '').port
  }, { timeout: 60_000 })
  after(async () => {
    await gateway?.stop()
    server.closeAllConnections()
    server.close()
  })

  test('curl gets the certificate of the name it asks for, and HTTP/2, and is refused other names', async () => {
    for (const host of hosts) assert.equal(await curl(host), `first ${host} ok 200 2`)
    await assert.rejects(curl('three.example.com'), (error: Error & { code?: number }) => error.code === 35)
  })

  test('h2load meets no failed request while the certificates are replaced', { timeout: 120_000 }, async (t) => {
    const h2load = await ensurePackage('/usr/bin/h2load', 'nghttp2-client')
    const [host] = hosts
    const load = run(h2load, ['-D', '6', '-c', '8', '-m', '20', `--connect-to=127.0.0.1:${port}`, `https://${host}:${port}/`], { timeout: 100_000 })
    for (const subject of ['second', 'third', 'fourth']) {
      write(subject)
      await until(`the ${subject} certificate`, async () => (await curl(host)) === `${subject} ${host} ok 200 2`, { timeout: 5000 })
    }
    const { stdout } = await load
    const [, done, failed] = /requests: .* (\d+) succeeded, (\d+) failed, /.exec(stdout) ?? []
    assert.equal(failed, '0', stdout)
    assert.ok(Number(done) > 1000, stdout)
    t.diagnostic(/finished in .*/.exec(stdout)?.[0] ?? '')
  })
})
