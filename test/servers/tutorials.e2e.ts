// The tutorials, walked: each command of their pages in order, and what the pages say comes out of it.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { inBash } from '../bash.ts'
import { adopt } from '../cluster/process.ts'
import { freePorts } from '../free-ports.ts'
import { walkServed } from '../walk.ts'
import { startLlama, startTriton } from './servers.ts'
import { cannotRun, ensureVenv } from './venv.ts'

const root = join(import.meta.dirname, '../..')
const portOf = (url: string) => Number(new URL(url).port)

/** Of a hundred requests one may be on either side of a split. */
const alike = (text: string) => text.replaceAll(/^ *(\d+) (?="model)/gm, (_, count: string) => `${Math.round(Number(count) / 10) * 10} `)

/** The quickstart's model servers, on free ports. */
async function models(t: TestContext): Promise<{ ports: Record<string, number>; stand: (text: string) => Promise<void> }> {
  const [first = 0, second = 0] = await freePorts(2)
  const stand = async (text: string) => {
    assert.equal(text, 'npx node examples/quickstart/servers.ts\n')
    const child = spawn(process.execPath, ['examples/quickstart/servers.ts', String(first), String(second)], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
    adopt(child)
    t.after(() => child.kill())
    let said = ''
    for await (const more of child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
      said += String(more)
      if (said.includes('version 2')) return
    }
    const [code] = await once(child, 'exit') as [number | null]
    assert.fail(`the model servers ended with ${code}: ${said}`)
  }
  return { ports: { 18081: first, 18082: second }, stand }
}

for (const page of ['canary', 'limits', 'auth']) {
  test(`docs/tutorials/${page}.md does what it says`, { timeout: 300_000 }, async (t) => {
    const { ports, stand } = await models(t)
    await walkServed(t, `docs/tutorials/${page}.md`, { ports, stands: { models: stand }, alike })
  })
}

test('docs/tutorials/triton.md does what it says, with a real Triton over its models', { skip: await cannotRun(), timeout: 300_000 }, async (t) => {
  const [http = 0, grpc = 0] = await freePorts(2)
  await walkServed(t, 'docs/tutorials/triton.md', {
    ports: { 8000: http, 8001: grpc },
    stands: {
      async triton(text, cwd) {
        assert.match(text, /docker run .*-v "\$PWD\/walk\/models:\/models".* tritonserver --model-repository=\/models/)
        const triton = await startTriton({ models: join(cwd, 'walk/models'), ports: [http, grpc] })
        t.after(() => triton.stop())
      },
    },
  })
})

test('docs/tutorials/openai.md does what it says, with a real server of the OpenAI API', { skip: await cannotRun(), timeout: 300_000 }, async (t) => {
  const llama = await startLlama()
  t.after(() => llama.stop())
  const { folder } = await ensureVenv('sdk')
  await walkServed(t, 'docs/tutorials/openai.md', {
    ports: { 8000: portOf(llama.url) },
    stands: {
      async openai(text) {
        const env = { ...process.env, PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}` }
        assert.match(await inBash(text, { env }), /Model\(id='assistant'/)
      },
    },
  })
})
