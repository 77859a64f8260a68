import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { suite, test, type TestContext } from 'node:test'
import { mirrors } from './mirrors.ts'
import { predictions } from './predictions.ts'
import { report } from './report.ts'

/** An admin port that answers each path with this. */
async function adminOf(t: TestContext, answer: (path: string) => readonly [status: number, text: string]): Promise<string> {
  const server = createServer(({ url = '' }, response) => {
    const [status, text] = answer(url)
    response.writeHead(status).end(text)
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
}

suite('lists of a proxy', () => {
  test('it is asked, and what it says instead is told', async (t) => {
    const items = [{ n: 1 }, { n: 2 }]
    const admin = await adminOf(t, (path) => path === '/things' ? [200, JSON.stringify({ items })] : [404, 'no such thing'])
    let out = ''
    const ask = (output: 'text' | 'json', path = '/things') => report<{ n: number }>(admin, path, { output, textOf: ({ n }) => `thing ${n}\n`, none: 'nothing' }, (text) => { out = text })
    assert.deepEqual([await ask('text'), out], [0, 'thing 1\n\nthing 2\n'])
    assert.deepEqual([await ask('json'), JSON.parse(out)], [0, items])
    await assert.rejects(ask('text', '/others'), /answers 404: no such thing/)
  })

  for (const [command, path, none] of [[mirrors, '/mirrors', 'no rule mirrors its requests\n'], [predictions, '/predictions', 'no prediction has been seen yet\n']] as const) {
    test(`${command.name} asks for ${path}`, async (t) => {
      const admin = await adminOf(t, (asked) => asked === path ? [200, '{"items":[]}'] : [404, ''])
      let out = ''
      assert.deepEqual([await command({ admin, output: 'text' }, (text) => { out = text }), out], [0, none])
    })
  }

  test('nobody there is told with the address and the reason, whichever addresses its name has', async () => {
    // Nothing listens on port 2, and nothing is given it while this runs.
    for (const host of ['127.0.0.1', 'localhost']) {
      await assert.rejects(mirrors({ admin: `http://${host}:2`, output: 'text' }, assert.fail), new RegExp(`^Error: http://${host}:2 cannot be reached: .*ECONNREFUSED 127\\.0\\.0\\.1:2`))
    }
  })
})
