// The clients that people have, unmodified: what they make of the gateway's answers is what they make of the server's own.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { startServing, type Served } from '../../cli/serve.ts'
import { temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { portOf, routeTo } from '../manifests.ts'
import { ensureOpenai } from './openai.ts'
import { startLlama, startTriton, type Llama, type Triton } from './servers.ts'
import { cannotRun, ensureVenv, type Venv } from './venv.ts'

const run = promisify(execFile)
const script = (name: string) => join(import.meta.dirname, 'sdk', name)
const options = { timeout: 60_000, maxBuffer: 64 * 1024 * 1024 }

const backend = (name: string, url: string, path: string) => routeTo(name, portOf(url), { matches: `{path: {type: PathPrefix, value: ${path}}}` })

suite('SDKs through the gateway', { skip: await cannotRun() }, () => {
  let triton: Triton
  let llama: Llama
  let gateway: Served
  let venv: Venv
  let openai: string

  before(async () => {
    [triton, llama, venv, openai] = await Promise.all([startTriton(), startLlama(), ensureVenv('sdk'), ensureOpenai()])
    const file = join(temporaryFolder('sdk'), 'all.yaml')
    writeFileSync(file, backend('triton', triton.http, '/v2') + backend('llama', llama.url, '/v1'))
    gateway = await startServing({
      filename: [file], host: '127.0.0.1', adminHost: '127.0.0.1', httpPort: 0, adminPort: 0, controlPort: 0,
      drainDelay: 0, drainTimeout: 10_000, logLevel: 'error',
    })
    await until('the routes', async () => (await fetch(`${gateway.url}/v2/health/ready`)).ok)
  })
  after(async () => {
    await Promise.all([gateway?.end(), triton?.stop(), llama?.stop()])
  })

  /** What a program prints when it is given the server's own address, and the gateway's. */
  async function compare(command: string, args: readonly string[], direct: string, through: string): Promise<string> {
    const [own, ours] = [await run(command, [...args, direct], options), await run(command, [...args, through], options)]
    assert.deepEqual(ours.stdout.split('\n'), own.stdout.split('\n'))
    return ours.stdout
  }

  test('openai for Python: chat, stream, usage, leaving a stream, errors', { timeout: 120_000 }, async () => {
    const text = await compare(venv.python, [script('chat.py')], `${llama.url}/v1`, `${gateway.url}/v1`)
    assert.match(text, /^chat .+\nstream \[.+\]\nusage \d+ 16\nleft chat\.completion\.chunk\nerror \w+ \d+ /)
  })

  test('openai for Node.js: chat, stream, usage, leaving a stream, errors', { timeout: 120_000 }, async () => {
    const text = await compare(process.execPath, [script('chat.mjs'), openai], `${llama.url}/v1`, `${gateway.url}/v1`)
    assert.match(text, /^chat .+\nstream \[.+\]\nusage 16\nleft chat\.completion\.chunk\naborted true\nerror \w+ \d+ /)
  })

  test('tritonclient: metadata, JSON, binary, compressed requests and answers, errors', { timeout: 120_000 }, async () => {
    const text = await compare(venv.python, [script('triton.py')], new URL(triton.http).host, new URL(gateway.url).host)
    assert.match(text, /^live True True\n/)
    const answers = new Map(text.split('\n').map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]))
    for (const name of ['binary', 'gzip', 'deflate']) assert.equal(answers.get(name), answers.get('json'))
    assert.notEqual(answers.get('version'), answers.get('json'))
    assert.ok(answers.get('error'))
  })
})
