import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { TestProxy } from '../dataplane/proxy.ts'
import { rawClient } from '../dataplane/sockets.ts'
import type { Case } from './corpus.ts'

/** What a backend counted: a line `METHOD target length-of-body` for each request that it saw to its end. */
export type Counter = Readonly<{
  /** Of requests that it saw the end of. */
  seen: () => readonly string[]
  /** How many it saw the beginning of. */
  begun: () => number
}>

const probe = 'GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
/** The word that no backend may ever see, but in the body of another request. */
const smuggled = /\/smuggled/

/** Heads of the answers, without interim ones. */
function answersIn(text: string): { status: number }[] {
  return [...text.matchAll(/HTTP\/1\.1 (?<status>[2-5]\d\d) /g)].map(({ groups }) => ({ status: Number(groups?.['status']) }))
}

/**
 * Sends a case with the probe behind it, and compares what the three saw: the client, the proxy (a line of its log for
 * each request), and the backend. `settled` waits for a count that comes after the answer.
 */
export async function judge(t: TestContext, proxy: TestProxy, backends: readonly Counter[], { bytes, outcome }: Case): Promise<void> {
  const logged = proxy.lines().length
  const before = backends.map((backend) => ({ seen: backend.seen().length, begun: backend.begun() }))
  const client = await rawClient(t, proxy.url)
  client.send(bytes + probe)
  const { text } = await client.end()
  client.socket.destroy()
  const answers = answersIn(text)
  const statuses = answers.map(({ status }) => status)
  const good = statuses.filter((status) => status === 200).length
  await settled(() => backends.every((backend, n) => backend.seen().length - (before[n]?.seen ?? 0) >= good))
  const lines = proxy.lines().slice(logged)
  const forwarded = lines.filter((line) => line['endpoint'] !== undefined && line['endpoint'] !== '').length

  for (const [n, backend] of backends.entries()) {
    const seen = backend.seen().slice(before[n]?.seen)
    const begun = backend.begun() - (before[n]?.begun ?? 0)
    assert.ok(!seen.some((line) => smuggled.test(line)), `smuggled: ${seen.join(', ')}`)
    assert.equal(seen.length, good, `the backend saw ${seen.join(', ')}; the client got ${statuses.join(', ')}`)
    assert.ok(begun <= forwarded, `the backend saw ${begun} begin, and ${forwarded} were sent`)
    if (outcome.kind === 'refused') {
      assert.deepEqual(statuses, [outcome.status], text.slice(0, 500))
      assert.equal(begun, 0, 'no backend hears of it')
    } else if (outcome.kind === 'broken') {
      assert.ok(begun <= 1 && statuses.length <= 1 && statuses.every((status) => status >= 400), text.slice(0, 500))
      assert.deepEqual(seen, [])
    } else {
      const expected = ends(bytes) ? outcome.seen : [...outcome.seen, 'GET /probe 0']
      // Sorted, because pipelined requests go on side by side.
      assert.deepEqual([...seen].sort(), [...expected].sort(), text.slice(0, 500))
      // The backend answers with what it saw, so an answer of another request would show.
      const bodies = [...text.matchAll(/\[(?<line>[A-Z]+ [^\]]*)\]/g)].map(({ groups }) => groups?.['line'])
      assert.deepEqual(bodies, expected.filter((line) => !line.startsWith('HEAD ')))
    }
  }
}

/** Whether the case itself ends the connection, so that the probe must not be looked at. */
const ends = (bytes: string) => /^(?:Connection: close|GET \S+ HTTP\/1\.0)|Content-Length: x/m.test(bytes)

async function settled(done: () => boolean): Promise<void> {
  const deadline = performance.now() + 1000
  while (!done() && performance.now() < deadline) await new Promise((resolve) => { setTimeout(resolve, 2) })
}
