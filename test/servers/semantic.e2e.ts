// A semantic cache in front of llama.cpp, with a real embedding model, and prompts that look alike.
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { serviceAt } from '../manifests.ts'
import { pairs, startEmbedding, type Embedding } from './embedding/embedding.ts'
import { startLlama, type Llama } from './servers.ts'
import { startServe, type Serving } from './serve.ts'
import { cannotRun } from './venv.ts'

const manifests = (llama: string, embedding: number) => `
${serviceAt('llama', llama)}
---
${serviceAt('minilm', embedding)}
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: chat}
spec:
  rules:
  - name: all
    matches: [{path: {type: PathPrefix, value: /v1}}]
    backendRefs: [{variant: only, name: llama, port: 8000}]
    cache:
      ttl: 1h
      scope: Shared
      semantic:
        text: /messages
        embedding: {backendRef: {name: minilm, port: 8000}, model: minilm}
        verifyPercent: 0
`

suite('answers to texts that mean the same', { skip: await cannotRun() }, () => {
  let llama: Llama
  let embedding: Embedding
  let gateway: Serving

  before(async () => {
    [llama, embedding] = await Promise.all([startLlama(), startEmbedding()])
    gateway = await startServe(manifests(new URL(llama.url).port, embedding.port))
  })
  after(async () => {
    await Promise.all([gateway?.stop(), llama?.stop(), embedding?.stop()])
  })

  /** @param user tells one pair from the others */
  const ask = async (content: string, user: string): Promise<[status: number, cache: string | null]> => {
    const response = await fetch(`${gateway.urls['http']}/v1/chat/completions`, {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: llama.model, temperature: 0, max_tokens: 1, user, messages: [{ role: 'user', content }] }),
    })
    await response.arrayBuffer()
    // By a gateway that a busy machine leaves too little of; nothing was asked of anybody.
    if (response.headers.get('x-modelroute-error') === 'overloaded') return ask(content, user)
    return [response.status, response.headers.get('x-modelroute-cache')]
  }

  test('by the default threshold none of the prompts that mean something else is a hit, and most of the others that are alike enough are', { timeout: 170_000 }, async () => {
    // A busy machine takes longer for a vector than the gateway waits; the model knows them by then.
    for (const { one, other } of pairs()) await embedding.know(one, other)
    const [wrong, hits]: [string[], string[]] = [[], []]
    for (const [at, { same, one, other }] of pairs().entries()) {
      assert.deepEqual(await ask(one, `pair-${at}`), [200, 'miss'], one)
      const [status, by] = await ask(other, `pair-${at}`)
      assert.equal(status, 200, other)
      if (by === 'semantic-hit') (same ? hits : wrong).push(other)
    }
    assert.deepEqual(wrong, [])
    assert.ok(hits.length >= 30, `${hits.length} of 60`)
  })

  test('without its embedding model the cache is an exact one', async () => {
    assert.deepEqual(await ask('How do I bake bread?', 'gone'), [200, 'miss'])
    await embedding.stop()
    assert.deepEqual(await ask('How can I bake bread?', 'gone'), [200, 'miss'])
    assert.deepEqual(await ask('How do I bake bread?', 'gone'), [200, 'hit'])
  })
})
