// Callers of one protocol, unmodified, in front of servers of another: openai for Python and Triton, `generate` and llama.cpp.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { startServing, type Served } from '../../cli/serve.ts'
import { temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { serviceAt } from '../manifests.ts'
import { startLlama, startTriton, type Llama, type Triton } from './servers.ts'
import { cannotRun, ensureVenv, type Venv } from './venv.ts'

const run = promisify(execFile)

const backend = (name: string, url: string, path: string, protocol: string) => `
${serviceAt(name, new URL(url).port)}
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: ${name}}
spec:
  rules:
  - name: all
    matches: [{path: {type: PathPrefix, value: ${path}}}]
    backendRefs: [{variant: only, name: ${name}, port: 8000, protocol: ${protocol}}]
---
`

suite('text across protocols', { skip: await cannotRun() }, () => {
  let triton: Triton
  let llama: Llama
  let gateway: Served
  let venv: Venv

  before(async () => {
    [triton, llama, venv] = await Promise.all([startTriton(), startLlama(), ensureVenv('sdk')])
    const file = join(temporaryFolder('text'), 'all.yaml')
    // OpenAI's callers reach Triton, and those of V2 llama.cpp.
    writeFileSync(file, backend('triton', triton.http, '/v1', 'V2') + backend('llama', llama.url, '/v2', 'OpenAI'))
    gateway = await startServing({
      filename: [file], host: '127.0.0.1', adminHost: '127.0.0.1', httpPort: 0, adminPort: 0, controlPort: 0,
      drainDelay: 0, drainTimeout: 10_000, logLevel: 'error',
    })
    await until('the routes', async () => (await generate('generate', {})).status === 400)
  })
  after(async () => {
    await Promise.all([gateway?.end(), triton?.stop(), llama?.stop()])
  })

  const generate = (call: string, body: object) =>
    fetch(`${gateway.url}/v2/models/${llama.model}/${call}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

  test('openai for Python talks with a model of Triton: whole, in a stream with usage, and of errors', { timeout: 120_000 }, async () => {
    const { stdout } = await run(venv.python, [join(import.meta.dirname, 'sdk/crossed.py'), `${gateway.url}/v1`], { timeout: 60_000 })
    assert.deepEqual(stdout.trim().split('\n'), [
      'completion " one two" length 4 2',
      'chat " user: hi there assistant:" stop',
      'stream " one" " two" " three" length 4 3',
      'left " one"',
      'failed "model says no"',
      'refused 422 unsupported_translation tools',
      "unknown 404 Request for unknown model: 'nope' is not found",
    ])
  })

  test('generate and generate_stream are answered by llama.cpp as it answers completions', { timeout: 60_000 }, async () => {
    const parameters = { max_tokens: 5, temperature: 0, seed: 1 }
    const direct = await fetch(`${llama.url}/v1/completions`, { method: 'POST', body: JSON.stringify({ model: llama.model, prompt: 'the cat', ...parameters }) })
    const { choices: [choice], usage } = await direct.json() as { choices: { text: string }[]; usage: { prompt_tokens: number; completion_tokens: number } }
    const told = { ...parameters, return_finish_reason: true, return_num_output_tokens: true }
    const whole = await generate('generate', { id: 'g1', text_input: 'the cat', parameters: told })
    assert.deepEqual([whole.status, await whole.json()], [200, {
      id: 'g1', model_name: llama.model, text_output: choice?.text, finish_reason: 'length', num_input_tokens: usage.prompt_tokens, num_output_tokens: usage.completion_tokens,
    }])
    const stream = await generate('generate_stream', { text_input: 'the cat', parameters: told })
    const events = (await stream.text()).split('\n\n').filter((one) => one !== '').map((one) => JSON.parse(one.slice(6)) as { text_output: string; num_output_tokens?: number })
    assert.equal(events.map(({ text_output }) => text_output).join(''), choice?.text)
    assert.ok(events.length > 2)
    assert.equal(events.at(-1)?.num_output_tokens, usage.completion_tokens)
  })

  test('an error of llama.cpp keeps its status, and is told in the form of V2', { timeout: 60_000 }, async () => {
    for (const call of ['generate', 'generate_stream']) {
      const answer = await generate(call, { text_input: 'the cat '.repeat(5000) })
      const { error } = await answer.json() as { error: string }
      assert.equal(answer.status, 400)
      assert.match(error, /exceeds the available context size/)
    }
  })
})
