import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { readOptions } from './options.ts'
import { rollout } from './rollout.ts'
import { lineOf, viewOf } from './rollout-view.ts'

const spec = {
  rules: [{
    name: 'infer',
    backendRefs: [
      { variant: 'stable', name: 'fraud', port: 80, weight: 20 },
      { variant: 'canary', name: 'fraud-2', port: 80, weight: 80 },
    ],
    rollout: { candidate: 'canary', steps: [{ percent: 5, hold: '5m' }, { percent: 50, approval: true }] },
  }],
}

const stable = { variant: 'stable', effectiveWeight: 950_000, endpoints: 3 }
const canary = { variant: 'canary', effectiveWeight: 50_000, endpoints: 1 }
const progressing = {
  dataPlane: { programmed: 2, total: 3, rejected: 0 },
  rules: [{
    name: 'infer', phase: 'Progressing' as const, step: 1, stepStartedAt: '2026-01-01T00:00:00Z', specHash: 'ab12', revision: 4,
    message: 'error-rate 0.2 % (at most 1 %)', backends: [stable, canary],
  }],
}

test('the status tells the step, what is left of its hold, and each share beside its target', () => {
  const seen = { namespace: 'ml', name: 'fraud', spec, status: progressing, annotations: {} }
  assert.equal(viewOf(seen, undefined, Date.parse('2026-01-01T00:02:10Z')), [
    'ml/fraud  in force on 2 of 3 proxies',
    '',
    '  infer  Progressing, step 1 of 2: 5 % (hold 5m), since 2m10s, 2m50s to go, revision 4',
    '    error-rate 0.2 % (at most 1 %)',
    '    stable  ███████████████████░ 95 % of 20 %, 3 endpoints',
    '    canary  █░░░░░░░░░░░░░░░░░░░ 5 % of 80 %, 1 endpoint',
    '',
  ].join('\n'))
  assert.equal(lineOf(seen, 'infer'), 'infer Progressing step 1/2 stable=95 % canary=5 %: error-rate 0.2 % (at most 1 %)\n')
})

test('a route that no controller has looked at is shown as unknown', () => {
  const seen = { namespace: 'ml', name: 'fraud', spec, status: {}, annotations: {} }
  assert.match(viewOf(seen, undefined, 0), /in force on 0 of 0 proxies[^]*infer {2}Unknown/)
})

type Item = { kind: string; metadata: { namespace: string; name: string }; spec: typeof spec; status: object }

/** A control port that answers with the statuses in turn, the last for ever, and keeps what it is told. */
async function control(t: TestContext, statuses: readonly object[], refusal?: string) {
  const told: unknown[] = []
  let turn = 0
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      const status = statuses[Math.min(turn++, statuses.length - 1)] ?? {}
      const items: Item[] = [{ kind: 'ModelRoute', metadata: { namespace: 'ml', name: 'fraud' }, spec, status }]
      response.end(JSON.stringify({ items, problems: [] }))
      return
    }
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      told.push(JSON.parse(Buffer.concat(chunks).toString()))
      response.writeHead(refusal === undefined ? 200 : 409).end(refusal ?? '{}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return { told, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function run(words: readonly string[], terminal = false): Promise<{ code: number; out: string; err: string }> {
  const options = readOptions('rollout', words, {})
  if ('usage' in options) return { code: 2, out: '', err: options.usage.join('\n') }
  let [out, err] = ['', '']
  const code = await rollout(options, { stdout: (text) => (out += text), stderr: (text) => (err += text), terminal })
  return { code, out, err }
}

test('a command names the rule and the hash that it was decided on', async (t) => {
  const { told, url } = await control(t, [progressing])
  const { code, out } = await run(['promote', 'fraud', '-n', 'ml', '--full', '--control', url])
  assert.equal(code, 0)
  assert.deepEqual(told, [{ namespace: 'ml', route: 'fraud', rule: 'infer', action: 'promote-full', specHash: 'ab12' }])
  assert.match(out, /infer {2}Progressing/)
  await run(['undo', 'fraud', 'infer', '-n', 'ml', '--to-revision', '3', '--control', url])
  assert.deepEqual(told[1], { namespace: 'ml', route: 'fraud', rule: 'infer', action: 'undo', specHash: 'ab12', revision: 3 })
})

test('what the controller refuses is said in its own words', async (t) => {
  const { url } = await control(t, [progressing], '{"error":"the rule has changed since"}')
  await assert.rejects(run(['abort', 'fraud', '-n', 'ml', '--control', url]), /answers 409: the rule has changed since/)
})

test('an unknown route or rule is named with what there is', async (t) => {
  const { url } = await control(t, [progressing])
  await assert.rejects(run(['status', 'frode', '-n', 'ml', '--control', url]), /there is no ModelRoute ml\/frode/)
  await assert.rejects(run(['pause', 'fraud', 'inferr', '-n', 'ml', '--control', url]), /has no rule inferr; it has infer/)
  await assert.rejects(run(['pause', 'fraud', '-n', 'ml', '--control', 'http://127.0.0.1:1']), /^Error: http:\/\/127\.0\.0\.1:1 cannot be reached: /)
})

const phase = (name: string) => ({ rules: [{ name: 'infer', phase: name, backends: [stable, canary] }] })

test('status -w says a line when something changed, and ends with the rollout', async (t) => {
  const promoted = await control(t, [progressing, phase('Stable')])
  assert.deepEqual(await run(['status', 'fraud', '-n', 'ml', '-w', '--control', promoted.url]), {
    code: 0, err: '',
    out: 'infer Progressing step 1/2 stable=95 % canary=5 %: error-rate 0.2 % (at most 1 %)\ninfer Stable stable=95 % canary=5 %\n',
  })
  const aborted = await control(t, [phase('Aborted')])
  assert.equal((await run(['status', 'fraud', '-n', 'ml', '-w', '--control', aborted.url])).code, 1)
})

test('in a terminal, status -w draws over what it drew', async (t) => {
  const { url } = await control(t, [progressing, phase('Stable')])
  const { out } = await run(['status', 'fraud', '-n', 'ml', '-w', '--control', url], true)
  const lines = out.slice(0, out.indexOf('\u001B')).split('\n').length - 1
  assert.ok(out.includes(`\u001B[${lines}A\u001B[J`), JSON.stringify(out))
})

test('set-weight shows what would change, and writes only when told to, comments kept', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'rollout-')), 'route.yaml')
  const manifest = (weight: number) => `# the fraud model
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: ml}
spec:
  rules:
    - name: infer
      backendRefs:
        - {variant: stable, name: fraud, port: 80, weight: 20}
        - variant: canary # the new one
          name: fraud-2
          port: 80
          weight: ${weight}
`
  writeFileSync(file, manifest(5))
  const words = ['set-weight', 'fraud', '-n', 'ml', '-f', file, '--weight', 'canary=80', '--weight', 'stable=20']
  const dry = await run(words)
  assert.equal(dry.out, 'infer canary: 5 -> 80\n')
  assert.match(dry.err, /nothing is changed; --write/)
  assert.equal(readFileSync(file, 'utf8'), manifest(5))
  assert.equal((await run([...words, '--write'])).err, '')
  assert.equal(readFileSync(file, 'utf8'), manifest(80))
  const bare = manifest(5).replace(/ +weight: 5\n/, '').replace(', weight: 20', '')
  writeFileSync(file, bare)
  await run([...words, '--write'])
  assert.equal(readFileSync(file, 'utf8'), bare
    .replace('variant: stable', 'variant: stable, weight: 20').replace('canary # the new one', 'canary # the new one\n          weight: 80'))
  await assert.rejects(run(['set-weight', 'fraud', '-n', 'ml', '-f', file, '--weight', 'canry=1']), /has no variant canry; it has stable, canary/)
})

test('what means nothing is refused with what would', async () => {
  assert.match((await run(['promte', 'fraud'])).err, /ACTION is status, promote, .*, not "promte"/)
  assert.match((await run(['status'])).err, /ROUTE is missing: modelroute rollout ACTION ROUTE \[RULE\]/)
  assert.match((await run(['pause', 'fraud', '--full'])).err, /--full goes with promote/)
  assert.match((await run(['set-weight', 'fraud'])).err, /--weight VARIANT=N is required/)
  assert.match((await run(['set-weight', 'fraud', '--weight', 'canary=x'])).err, /--weight must be VARIANT=N, such as canary=25, not "canary=x"/)
})
