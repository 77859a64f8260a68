import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { adopt } from '../cluster/process.ts'
import { testProxy } from '../dataplane/proxy.ts'
import { active, route } from '../dataplane/table.ts'

/** Answers without end, in each of three framings. */
const program = `
const heads = { '/length': { 'content-length': 1e9 }, '/chunks': {}, '/events': { 'content-type': 'text/event-stream' } }
const server = require('node:http').createServer((request, response) => {
  response.writeHead(200, heads[request.url])
  const more = () => { while (response.write('data: ' + 'x'.repeat(1 + Math.random() * 5000) + '\\n\\n')); response.once('drain', () => setTimeout(more, 1)) }
  more()
}).listen(0, '127.0.0.1', () => process.stdout.write(String(server.address().port)))`

async function backend(t: TestContext) {
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  adopt(child)
  t.after(() => child.kill('SIGKILL'))
  const [port] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, port: Number(port.toString()) }
}

test('a backend is killed at a random byte, 200 times: its clients always see an error', { timeout: 200_000 }, async (t) => {
  const proxy = await testProxy(t, undefined)
  for (let round = 0; round < 200; round++) {
    const { child, port } = await backend(t)
    proxy.activate(active(String(round), [route()], { 'ml/s:80': [port] }))
    const enough = Math.random() * 300_000
    let read = 0
    const verdicts = await Promise.all(['length', 'chunks', 'events'].map(async (path) => {
      const response = await fetch(`${proxy.url}/${path}`)
      // Killed by one of the others before this answer began.
      if (response.status === 502) return 'an error'
      assert.equal(response.status, 200)
      assert.ok(response.body)
      try {
        for await (const chunk of response.body) {
          read += (chunk as Uint8Array).length
          if (read > enough) child.kill('SIGKILL')
        }
        return `${path} ended as if it were whole`
      } catch {
        return 'an error'
      }
    }))
    assert.deepEqual(verdicts, ['an error', 'an error', 'an error'], `round ${round}`)
  }
})
