import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testProxy } from '../dataplane/proxy.ts'
import { rawUpstream } from '../dataplane/sockets.ts'
import { active, route, rule, variant } from '../dataplane/table.ts'

const poison = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
const ok = (...headers: string[]) => ['HTTP/1.1 200 OK', ...headers, '', ''].join('\r\n')

/** What a hostile backend answers to the first request; to every other one it answers `fine`. */
const hostile: readonly [hazard: string, bytes: string, method?: string][] = [
  ['a second answer in the same piece', `${ok('Content-Length: 4')}mine${poison}`],
  ['more bytes than the length', `${ok('Content-Length: 4')}mine and more`],
  ['more bytes than the chunks', `${ok('Transfer-Encoding: chunked')}4\r\nmine\r\n0\r\n\r\n${poison}`],
  ['a length and chunks', `${ok('Content-Length: 4', 'Transfer-Encoding: chunked')}4\r\nmine\r\n0\r\n\r\n${poison}`],
  ['two lengths', `${ok('Content-Length: 0', 'Content-Length: 4')}mine${poison}`],
  ['two equal lengths', `${ok('Content-Length: 4', 'Content-Length: 4')}mine${poison}`],
  ['a list of lengths', `${ok('Content-Length: 4, 4')}mine${poison}`],
  ['a negative length', `${ok('Content-Length: -4')}mine${poison}`],
  ['gzip, chunked', `${ok('Transfer-Encoding: gzip, chunked')}4\r\nmine\r\n0\r\n\r\n${poison}`],
  ['a chunk longer than it says', `${ok('Transfer-Encoding: chunked')}1\r\nmine\r\n0\r\n\r\n${poison}`],
  ['a status of four digits', `HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n${poison}`],
  ['a status below 100', `HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n${poison}`],
  ['no status', `HTTP/1.1 OK\r\n\r\n${poison}`],
  ['another version', `HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n${poison}`],
  ['a folded header', `${ok('X: y', ' z', 'Content-Length: 0')}${poison}`],
  ['a bare CR in a header', `${ok('X: y\rSet-Cookie: evil=1', 'Content-Length: 0')}${poison}`],
  ['a NUL in a header', `${ok('X: y\0z', 'Content-Length: 0')}${poison}`],
  ['101 without an upgrade', `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n${poison}`],
  ['a body to HEAD', `${ok('Content-Length: 4')}mine${poison}`, 'HEAD'],
  ['a body in 204', `HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nmine${poison}`],
  ['a body in 304', `HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nmine${poison}`],
  ['a flood of interim answers', `${'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n'.repeat(1000)}${poison}${poison}`],
]

for (const [hazard, bytes, method = 'GET'] of hostile) {
  test(`${hazard}: nobody else is answered by it, of this tenant or another`, { timeout: 120_000 }, async (t) => {
    let first = true
    const port = await rawUpstream(t, (socket) => {
      // What is left over on this connection would be the answer to its next request.
      let wrong = false
      socket.on('data', () => {
        wrong ||= first
        first = false
        socket.write(wrong ? bytes : `${ok('Content-Length: 4')}fine`, 'latin1')
      })
    })
    const tenant = (name: string) => route({
      id: `${name}/r`, tenant: name, rules: [rule({ matches: [{ path: { type: 'Prefix', value: `/${name}` }, headers: [], query: [] }], variants: [variant('v', 'x/s:80')] })],
    })
    const proxy = await testProxy(t, active('1', [tenant('a'), tenant('b')], { 'x/s:80': [port] }))
    const answer = await fetch(`${proxy.url}/a`, { method }).then((response) => response.text()).catch(() => 'broken')
    // Behind interim answers comes the one that was asked for.
    assert.ok(/flood/.test(hazard) || !answer.includes('poison'), answer)
    for (const name of ['a', 'b', 'a', 'b']) assert.equal(await (await fetch(`${proxy.url}/${name}`)).text(), 'fine')
  })
}
