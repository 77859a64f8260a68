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
import { portOf, routeTo } from '../manifests.ts'
import { ensureOpenai } from './openai.ts'
import { startLlama, startTriton, type Llama, type Triton } from './servers.ts'
import { cannotRun, ensureVenv, type Venv } from './venv.ts'

const run = promisify(execFile)

const backend = (name: string, address: string, protocol: string, ...matches: string[]) => routeTo(name, portOf(address), { matches: matches.join(), protocol })
const below = (path: string) => `{path: {type: PathPrefix, value: ${path}}}`
/** Calls of a header of their own, where one path is for several backends. */
const sent = (path: string, to: string) => `{path: {type: PathPrefix, value: ${path}}, headers: [{name: x-to, value: ${to}}]}`

suite('text across protocols', { skip: await cannotRun() }, () => {
  let triton: Triton
  let llama: Llama
  let embedding: Llama
  let openai: string
  let gateway: Served
  let venv: Venv

  before(async () => {
    [triton, llama, embedding, venv, openai] = await Promise.all([startTriton(), startLlama(), startLlama({ model: 'e5', embeds: true }), ensureVenv('sdk'), ensureOpenai()])
    const file = join(temporaryFolder('text'), 'all.yaml')
    // OpenAI's callers reach Triton, over REST and over gRPC, and those of V2, V1 and gRPC llama.cpp.
    writeFileSync(file, [
      backend('triton', triton.http, 'V2', below('/v1'), sent('/v2', 'triton'), sent('/inference.GRPCInferenceService', 'triton')), backend('triton-grpc', triton.grpc, 'GRPC', below('/openai/v1'), sent('/v2', 'triton-grpc')),
      backend('llama', llama.url, 'OpenAI', below('/v2'), below('/v1/models/tiny'), below('/v1/models/tiny:predict'), below('/inference.GRPCInferenceService')),
      backend('e5', embedding.url, 'OpenAI', sent('/v2', 'e5')),
    ].join(''))
    gateway = await startServing({
      filename: [file], host: '127.0.0.1', adminHost: '127.0.0.1', httpPort: 0, adminPort: 0, controlPort: 0,
      drainDelay: 0, drainTimeout: 10_000, logLevel: 'error',
    })
    await until('the routes', async () => (await generate('generate', {})).status === 400)
  })
  after(async () => {
    await Promise.all([gateway?.end(), triton?.stop(), llama?.stop(), embedding?.stop()])
  })

  const generate = (call: string, body: object) =>
    fetch(`${gateway.url}/v2/models/${llama.model}/${call}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

  for (const [path, how] of [['/v1', 'REST'], ['/openai/v1', 'gRPC']] as const) {
    test(`openai for Python and Node.js talk with models of Triton over ${how}: text whole and in a stream with usage, embeddings, models, errors`, { timeout: 120_000 }, async () => {
      const python = await run(venv.python, [join(import.meta.dirname, 'sdk/crossed.py'), `${gateway.url}${path}`], { timeout: 60_000 })
      assert.deepEqual(python.stdout.trim().split('\n'), [
        'completion " one two" length 4 2',
        'chat " user: hi there assistant:" stop',
        'stream " one" " two" " three" length 4 3',
        'left " one"',
        'failed "model says no"',
        'refused 422 unsupported_translation tools',
        "unknown 404 Request for unknown model: 'nope' is not found",
        "models ['embed', 'text'] embed",
        'embeddings [[0.5, 0.5, 0.0, 0.0], [0.4, 0.2, 0.2, 0.0]] 3 True',
        'dimensions [0.5, 0.25]',
      ])
      const node = await run(process.execPath, [join(import.meta.dirname, 'sdk/crossed.mjs'), openai, `${gateway.url}${path}`], { timeout: 60_000 })
      assert.deepEqual(node.stdout.trim().split('\n'), [
        'completion " one two" length 4 2',
        'stream [" user:"," hi"," there"," assistant:"] 4',
        'left " one"',
        'refused 422 unsupported_translation n',
        'models embed,text embed',
        'embeddings [[0.5,0.5,0,0],[0.4,0.2,0.2,0]] 3',
      ])
    })
  }

  const post = async (path: string, body: object, to = '') => {
    const answer = await fetch(`${gateway.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json', ...(to !== '' && { 'x-to': to }) }, body: JSON.stringify(body) })
    return { status: answer.status, text: await answer.text() }
  }

  test('generate_stream of Triton is the same over gRPC as over REST', { timeout: 60_000 }, async () => {
    for (const [call, body] of [
      ['generate_stream', { text_input: 'one two three', parameters: { stream: true, max_tokens: 2, return_finish_reason: true, return_num_output_tokens: true } }],
      ['generate', { text_input: 'one two three', parameters: { return_num_input_tokens: true } }], ['generate_stream', { id: 'x', text_input: 'one fail', stream: true }],
    ] as const) {
      const [rest, grpc] = [await post(`/v2/models/text/${call}`, body, 'triton'), await post(`/v2/models/text/${call}`, body, 'triton-grpc')]
      const parts = ({ text }: { text: string }) => text.split('\n\n').filter((one) => one !== '').map((one) => JSON.parse(one.replace('data: ', '')) as unknown)
      assert.deepEqual([grpc.status, parts(grpc)], [rest.status, parts(rest)])
    }
  })

  test('tritonclient holds a stream over gRPC with llama.cpp, and with Triton over REST', { timeout: 120_000 }, async () => {
    const address = gateway.url.replace('http://', '')
    const script = join(import.meta.dirname, 'sdk/stream_grpc.py')
    const crossed = await run(venv.python, [script, address, llama.model], { timeout: 60_000 })
    assert.deepEqual(crossed.stdout.trim().split('\n').slice(0, 2), ['first True None', 'second True None'])
    const rest = await run(venv.python, [script, address, 'text', 'x-to', 'triton'], { timeout: 60_000 })
    assert.deepEqual(rest.stdout.trim().split('\n'), ['first True None', 'second True None', "unknown [] Request for unknown model: 'nope' is not found"])
  })

  test('V1 and V2 have texts completed and embedded by llama.cpp as it does itself', { timeout: 60_000 }, async () => {
    const parameters = { max_tokens: 5, temperature: 0, seed: 1 }
    const direct = await fetch(`${llama.url}/v1/completions`, { method: 'POST', body: JSON.stringify({ model: llama.model, prompt: 'the cat', ...parameters }) })
    const { choices: [choice] } = await direct.json() as { choices: { text: string }[] }
    assert.deepEqual(await post('/v1/models/tiny:predict', { instances: [{ prompt: 'the cat', ...parameters }] }), { status: 200, text: JSON.stringify({ predictions: [choice?.text] }) })
    const inputs = [{ name: 'text_input', datatype: 'BYTES', shape: [1], data: ['the cat'] }]
    const infer = await post('/v2/models/tiny/infer', { inputs, parameters })
    assert.deepEqual((JSON.parse(infer.text) as { outputs: unknown }).outputs, [{ name: 'text_output', datatype: 'BYTES', shape: [1], data: [choice?.text] }])
    assert.deepEqual(await (await fetch(`${gateway.url}/v1/models/tiny`)).json(), { name: 'tiny', ready: true, id: 'tiny', object: 'model', created: 0, owned_by: '' })
    const own = await (await fetch(`${embedding.url}/v1/embeddings`, { method: 'POST', body: JSON.stringify({ model: 'e5', input: ['the cat', 'is'] }) })).json() as { data: { embedding: number[] }[] }
    const embedded = await post('/v2/models/e5/infer', { inputs: [{ name: 'input', datatype: 'BYTES', shape: [2], data: ['the cat', 'is'] }] }, 'e5')
    const { outputs: [output] } = JSON.parse(embedded.text) as { outputs: { shape: number[]; data: number[] }[] }
    assert.deepEqual(output?.shape, [2, own.data[0]?.embedding.length])
    assert.deepEqual(Float32Array.from(output?.data ?? []), Float32Array.from(own.data.flatMap((one) => one.embedding)))
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
