import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const bin = fileURLToPath(new URL('./modelroute.js', import.meta.url))
const quickstart = fileURLToPath(new URL('../examples/quickstart', import.meta.url))

async function run(...words: string[]) {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [bin, 'explain', ...words])
    return { code: 0, stdout, stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, stdout, stderr }
  }
}

test('explain says which rule and variant a request meets', async () => {
  const told = await run('-f', quickstart, 'post', '/v2/models/fraud/infer', '-H', 'X-Canary: always', '-d', '{}', '-o', 'json')
  const { route, rule, variant, code } = JSON.parse(told.stdout) as Record<string, unknown>
  assert.deepEqual([told.code, route, rule, variant, code], [0, 'ml/fraud', 'infer', 'canary', undefined])
  const missed = await run('-f', quickstart, 'GET', '/v3')
  assert.match(missed.stdout, /^code {6}no_route$/m)
  assert.match(missed.stdout, /ml\/fraud infer: the path is not Prefix \/v2\/models\/fraud/)
})

test('explain without what it needs says so', async () => {
  assert.deepEqual(await run('GET', '/'), { code: 2, stdout: '', stderr: 'modelroute explain: -f PATH is required, or --admin URL of a running proxy\n' })
  assert.match((await run('-f', quickstart, 'GET')).stderr, /URL is missing: modelroute explain METHOD URL/)
  assert.match((await run('-f', quickstart, 'GET', '/', 'more')).stderr, /unexpected argument more/)
  assert.match((await run('-f', quickstart, 'GET', '/', '-H', 'none')).stderr, /must be 'NAME: VALUE'/)
})
