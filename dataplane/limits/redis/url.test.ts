import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRedisUrl } from './url.ts'

const common = { username: undefined, password: undefined, database: 0, master: '', sentinel: { username: undefined, password: undefined }, patience: 25, cachePatience: 3, tls: undefined }

test('every form of URL names its hosts, credentials and files', () => {
  assert.deepEqual(parseRedisUrl('redis://cache'), { ...common, mode: 'standalone', hosts: [{ host: 'cache', port: 6379 }] })
  assert.deepEqual(parseRedisUrl('redis://:p%40ss@127.0.0.1:7000/3'), {
    ...common, mode: 'standalone', hosts: [{ host: '127.0.0.1', port: 7000 }], password: 'p@ss', database: 3, master: '3',
  })
  assert.deepEqual(parseRedisUrl('rediss://proxy:pw@[::1]:7000?ca=/etc/ca.pem&servername=redis.example.com'), {
    ...common, mode: 'standalone', hosts: [{ host: '::1', port: 7000 }], username: 'proxy', password: 'pw',
    tls: { ca: '/etc/ca.pem', cert: undefined, key: undefined, servername: 'redis.example.com' },
  })
  assert.deepEqual(parseRedisUrl('redis+sentinel://u:p@a,b:26380/main/2?sentinel-password=s'), {
    ...common, mode: 'sentinel', hosts: [{ host: 'a', port: 26_379 }, { host: 'b', port: 26_380 }], username: 'u', password: 'p',
    master: 'main', database: 2, sentinel: { username: undefined, password: 's' },
  })
  assert.deepEqual(parseRedisUrl('rediss+cluster://a:1,b'), {
    ...common, mode: 'cluster', hosts: [{ host: 'a', port: 1 }, { host: 'b', port: 6379 }],
    tls: { ca: undefined, cert: undefined, key: undefined, servername: undefined },
  })
  assert.deepEqual(parseRedisUrl('redis://far?patience=80ms&cache-patience=9ms'), { ...common, mode: 'standalone', hosts: [{ host: 'far', port: 6379 }], patience: 80, cachePatience: 9 })
})

test('what is no such URL is refused, and no credential repeated', () => {
  for (const [text, why] of [
    ['http://bob:secret@x', /must be redis:/], ['redis://bob:secret@', /must be redis:/], ['redis://bob:secret@a,b', /several hosts/],
    ['redis+sentinel://bob:secret@a', /name the master/], ['redis+cluster://bob:secret@a/1', /only one/], ['redis://bob:secret@a/x', /number of a database/],
    ['redis://bob:secret@a:70000', /HOST:PORT/], ['redis://a?password=secret', /unknown parameter/], ['redis://bob:secret%@a', /percent-encoded/],
    ['redis://bob:secret@a?patience=secret', /whole milliseconds/], ['redis://a?patience=0ms', /whole milliseconds/],
  ] as const) {
    const said = parseRedisUrl(text)
    assert.ok(typeof said === 'string', text)
    assert.match(said, why)
    assert.doesNotMatch(said, /secret/)
  }
})
