import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { connect as connectTls } from 'node:tls'
import type { Certified } from '../certificates.ts'
import { authority } from '../certificates.ts'
import { controllerUrl } from '../../dataplane/receive/dial.ts'
import { controller, proxy, until } from './rig.ts'
import { fleets, route } from './table.ts'

const folder = mkdtempSync(join(tmpdir(), 'modelroute-tls-'))
test.after(() => rmSync(folder, { recursive: true }))

const ours = authority('ours')
const theirs = authority('theirs')

let files = 0
function onDisk({ cert, key }: Certified) {
  const base = join(folder, `${(files += 1)}`)
  writeFileSync(`${base}.crt`, cert)
  writeFileSync(`${base}.key`, key)
  return { cert: `${base}.crt`, key: `${base}.key` }
}
const ca = onDisk(ours).cert
const otherCa = onDisk(theirs).cert
const UNTRUSTED = /self-signed|unable to verify|signature/i

const secured = (server: Certified = ours.issue('controller', ['localhost', '127.0.0.1']), more = {}) =>
  controller({ tls: { ...onDisk(server), clientCa: ca }, ...more })

test('proxies and controllers know each other by their certificates', async (t) => {
  const a = await secured()
  assert.match(a.url, /^https:/)
  a.publisher.publish(fleets([route('ml/a')]))
  const p = proxy([a.url.replace('127.0.0.1', 'localhost')], { tls: { ...onDisk(ours.issue('proxy')), ca } })
  t.after(() => Promise.all([p.close(), a.close()]))
  await until('in force', () => p.store.ready)
})

for (const [what, tls, why] of [
  ['without a certificate', { ca }, /does the controller trust|certificate required/],
  ['with a certificate of another authority', { ...onDisk(theirs.issue('proxy')), ca }, /does the controller trust/],
  ['that trusts another authority', { ...onDisk(ours.issue('proxy')), ca: otherCa }, UNTRUSTED],
  ['that trusts only the public authorities', onDisk(ours.issue('proxy')), UNTRUSTED],
  ['whose certificate is none', { ...onDisk({ ...ours.issue('proxy'), cert: '' }), ca }, /\.crt holds no certificate in PEM/],
  ['whose authority is empty', { ...onDisk(ours.issue('proxy')), ca: onDisk({ cert: '', key: '' }).cert }, /\.crt holds no certificate of an authority in PEM/],
  ['whose key file is missing', { cert: ca, key: join(folder, 'none'), ca }, /ENOENT/],
] as const) {
  test(`a proxy ${what} gets nothing, and logs why`, async (t) => {
    const a = await secured()
    a.publisher.publish(fleets([route('ml/a')]))
    const p = proxy([a.url], { tls })
    t.after(() => Promise.all([p.close(), a.close()]))
    await until('refused', () => why.test(p.notes.text()))
    assert.equal(p.updates.length, 0)
    assert.equal(a.publisher.proxies().length, 0)
  })
}

test('a controller with the certificate of another name is not spoken to', async (t) => {
  const a = await secured(ours.issue('controller', ['elsewhere.example.com']))
  a.publisher.publish(fleets([route('ml/a')]))
  const p = proxy([a.url], { tls: { ...onDisk(ours.issue('proxy')), ca } })
  t.after(() => Promise.all([p.close(), a.close()]))
  await until('refused', () => /does not match certificate/.test(p.notes.text()))
  assert.equal(p.updates.length, 0)
})

test('TLS 1.2 is refused', async (t) => {
  const a = await secured()
  t.after(() => a.close())
  const port = Number(new URL(a.url).port)
  const socket = connectTls({ port, host: '127.0.0.1', ca: ours.cert, ...ours.issue('proxy'), maxVersion: 'TLSv1.2' })
  await once(socket, 'error')
  await until('refused', () => /unsupported protocol/.test(a.notes.text()))
})

test('plain text on a TLS port gets nothing', async (t) => {
  const a = await secured()
  t.after(() => a.close())
  const session = connectHttp2(a.url.replace('https', 'http'))
  session.on('error', () => {})
  await once(session, 'close')
})

test('renewed certificate files are used without a restart, and unusable ones are not', async (t) => {
  const old = onDisk(ours.issue('controller', ['elsewhere.example.com']))
  const a = await controller({ tls: { ...old, clientCa: ca }, reloadMs: 20 })
  const p = proxy([a.url], { tls: { ...onDisk(ours.issue('proxy')), ca } })
  t.after(() => Promise.all([p.close(), a.close()]))
  a.publisher.publish(fleets([route('ml/a')]))
  await until('refused', () => /does not match certificate/.test(p.notes.text()))
  const next = ours.issue('controller', ['127.0.0.1'])
  writeFileSync(old.cert, next.cert.slice(0, 100))
  await until('unusable', () => /cannot be used/.test(a.notes.text()))
  writeFileSync(old.cert, next.cert)
  writeFileSync(old.key, next.key)
  await until('in force', () => p.store.ready)
})

test('the push channel is not opened to everybody by accident', async () => {
  const accept = () => {}
  await assert.rejects(controller({ host: '0.0.0.0', accept }), /--tls-cert.*--client-ca.*127\.0\.0\.1.*--insecure/)
  await assert.rejects(controller({ host: '::', accept }), /plain/)
  const tls = onDisk(ours.issue('controller'))
  await assert.rejects(controller({ host: '0.0.0.0', accept, tls }), /--client-ca/)
  const nobody = join(folder, 'nobody.crt')
  writeFileSync(nobody, '')
  await assert.rejects(controller({ host: '0.0.0.0', accept, tls: { ...tls, clientCa: nobody } }), /nobody\.crt holds no certificate of an authority in PEM/)
  const open = await controller({ host: '0.0.0.0', accept, insecure: true })
  await open.close()
})

test('a proxy does not take its table over a plain connection beyond loopback', async (t) => {
  const start = (url: string) => () => proxy([url]).close()
  assert.throws(start('http://10.0.0.1:9902'), /--controller http:\/\/10\.0\.0\.1:9902: plain beyond loopback/)
  assert.throws(start('http://controller:9902'), /plain beyond loopback/)
  assert.throws(start('controller:9902'), /the scheme is https/)
  assert.throws(start('not a url'), /not a URL; it looks like https:/)
  assert.throws(start('https://user@controller:9902/path'), /scheme, host and port only/)
  assert.equal(controllerUrl('http://10.0.0.1:9902', true).hostname, '10.0.0.1')
  const a = await controller()
  const p = proxy([a.url.replace('127.0.0.1', 'localhost')])
  t.after(() => Promise.all([p.close(), a.close()]))
  a.publisher.publish(fleets([]))
  await until('in force', () => p.store.ready)
})

test('a port that is taken is an error with its reason', async () => {
  const a = await controller()
  await assert.rejects(controller({ port: Number(new URL(a.url).port) }), /EADDRINUSE/)
  await a.close()
})
