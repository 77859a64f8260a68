import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Problem } from '../sources/snapshot.ts'
import type { CompileOptions } from './spec.ts'
import { compileUrl } from './urls.ts'

const cluster: CompileOptions = { allowUrls: [], allowLoopback: false, allowUnmanagedEndpointSlices: false }

function compile(url: string, options: Partial<CompileOptions> = {}) {
  const problems: Problem[] = []
  return { backend: compileUrl(url, 'url', { ...cluster, ...options }, problems), problems }
}

test('every spelling of this machine is refused in a cluster, even when its host is listed', () => {
  const hosts = [
    'localhost',
    'LOCALHOST',
    'a.localhost',
    '127.0.0.1',
    '127.1',
    '0177.0.0.1',
    '2130706433',
    '127.255.255.254',
    '[::1]',
    '[0:0::1]',
    '[::ffff:127.0.0.1]',
  ]
  for (const host of hosts) {
    const { problems } = compile(`http://${host}:1`, { allowUrls: [host, 'localhost', '127.0.0.1', '[::1]'] })
    assert.deepEqual(
      problems.map(({ reason }) => reason),
      ['UnsupportedValue'],
      host,
    )
  }
})

test('files may name this machine, and the table says so', () => {
  const { backend, problems } = compile('http://127.0.0.1:8001', { allowLoopback: true })
  assert.deepEqual(problems, [])
  assert.deepEqual(backend, { target: { kind: 'url', url: 'http://127.0.0.1:8001', loopback: true } })
})

test('the message about credentials does not repeat them', () => {
  const { backend, problems } = compile('https://user:hunter2@models.example', { allowUrls: ['models.example'] })
  assert.equal(problems.length, 1)
  assert.doesNotMatch(JSON.stringify([backend, problems]), /hunter2/)
})

test('a suffix ends at a label, and does not admit a name that merely ends alike', () => {
  const options = { allowUrls: ['*.models.example'] }
  assert.deepEqual(compile('https://eu.models.example', options).problems, [])
  for (const host of ['models.example', 'evilmodels.example', 'models.example.evil']) {
    assert.equal(compile(`https://${host}`, options).problems.length, 1, host)
  }
})

test('who names the very host opens the network that it is in; a name below a suffix may be anybody\'s', () => {
  const allowUrls = ['id.example', '*.models.example']
  const reached = (url: string) => compile(url, { allowUrls }).backend.target
  assert.deepEqual(reached('https://id.example'), { kind: 'url', url: 'https://id.example', loopback: false, private: true })
  assert.deepEqual(reached('https://eu.models.example'), { kind: 'url', url: 'https://eu.models.example', loopback: false })
})

test('an allowed port is compared with the scheme’s own one where the URL has none', () => {
  const options = { allowUrls: ['models.example:443', '[2001:db8::1]:8443'] }
  assert.deepEqual(compile('https://models.example', options).problems, [])
  assert.deepEqual(compile('https://[2001:db8:0::1]:8443', options).problems, [])
  assert.equal(compile('http://models.example', options).problems.length, 1)
  assert.equal(compile('https://models.example:444', options).problems.length, 1)
})

test('what is no origin is refused', () => {
  const options = { allowUrls: ['models.example'] }
  for (const url of [
    '',
    'models.example',
    '//models.example',
    'ftp://models.example',
    'https://models.example/v1',
    'https://models.example?',
    'https://models.example/#',
  ]) {
    assert.equal(compile(url, options).problems.length, 1, url)
  }
})
