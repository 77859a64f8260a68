import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { key } from './key.ts'
import type { Options } from './flags.ts'
import { readOptions } from './options.ts'

type Said = Readonly<{ out: string; err: string }>
type Secret = { metadata: { name: string; annotations: Record<string, string>; labels: Record<string, string> }; stringData: { keySha256: string } }

function place(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-key-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'keys.yaml')
  const run = async (line: string, now = Date.parse('2026-01-01T00:00:00Z')): Promise<Said> => {
    const options = readOptions('key', line.split(' '), {})
    if ('usage' in options) throw new Error(options.usage.join('; '))
    let [out, err] = ['', '']
    const typed: Options<'key'> = options
    assert.equal(await key(typed, { stdout: (text) => (out += text), stderr: (text) => (err += text) }, () => now), 0)
    return { out, err }
  }
  const secrets = () => parseAllDocuments(readFileSync(file, 'utf8')).map((document) => document.toJS() as Secret)
  return { file, run, secrets }
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex')

test('a key is shown once, and the file holds its digest alone, for nobody else to read', async (t) => {
  const { file, run, secrets } = place(t)
  const { out, err } = await run(`create --consumer ann@acme -n ml --tier pro --group a --group b --label team=x --expires 90d -o ${file}`)
  const made = out.trim()
  assert.match(made, /^mrk_[\w-]{43}$/)
  assert.ok(!err.includes(made) && !readFileSync(file, 'utf8').includes(made))
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const [secret] = secrets()
  assert.equal(secret?.stringData.keySha256, digest(made))
  assert.match(secret.metadata.name, /^key-ann-acme-[0-9a-f]{8}$/)
  assert.deepEqual(secret.metadata.labels, { 'modelroute.io/credential': 'api-key', team: 'x' })
  assert.deepEqual(secret.metadata.annotations, {
    'modelroute.io/consumer': 'ann@acme', 'modelroute.io/groups': 'a,b', 'modelroute.io/tier': 'pro', 'modelroute.io/expires': '2026-04-01T00:00:00.000Z',
  })
  const { out: table } = await run(`list -n ml -o ${file}`)
  assert.match(table, /^CONSUMER +TIER +GROUPS +EXPIRES +SECRET\nann@acme +pro +a,b +2026-04-01T00:00:00\.000Z +key-ann-acme-/)
})

test('no key is made that is over already, and a namespace without keys is named', async (t) => {
  const { file, run } = place(t)
  await assert.rejects(run(`create --consumer ann --expires 2025-12-31T00:00:00Z -o ${file}`), { message: '--expires 2025-12-31T00:00:00Z is in the past: nobody could use the key' })
  await run(`create --consumer ann -n ml -o ${file}`)
  assert.equal((await run(`list -o ${file}`)).err, 'there is no key in namespace default\n')
  assert.equal((await run(`list -n ml --consumer bob -o ${file}`)).err, 'bob has no key in namespace ml\n')
  assert.equal((await run(`list -n ml -o ${file}`)).err, '')
})

test('a rotated key has what the old one had, and the old one ends after the overlap', async (t) => {
  const { file, run, secrets } = place(t)
  const first = (await run(`create --consumer ann --tier pro --label team=x -o ${file}`)).out.trim()
  await run(`create --consumer bob -o ${file}`)
  const second = (await run(`rotate --consumer ann --overlap 1h -o ${file}`)).out.trim()
  const of = (text: string) => secrets().find(({ stringData }) => stringData.keySha256 === digest(text))?.metadata
  assert.equal(of(first)?.annotations['modelroute.io/expires'], '2026-01-01T01:00:00.000Z')
  assert.deepEqual(of(second)?.annotations, { 'modelroute.io/consumer': 'ann', 'modelroute.io/tier': 'pro' })
  assert.deepEqual(of(second)?.labels, { 'modelroute.io/credential': 'api-key', team: 'x' })
  assert.equal(secrets().length, 3)
  await run(`rotate --consumer ann --overlap 24h -o ${file}`)
  assert.equal(of(first)?.annotations['modelroute.io/expires'], '2026-01-01T01:00:00.000Z', 'a key that ends sooner is not kept alive')
})

test('revoking takes the keys of one consumer of one namespace out, and leaves everything else in the file', async (t) => {
  const { file, run, secrets } = place(t)
  writeFileSync(file, '# keys of the team\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: other, namespace: ml} # not a key\nstringData: {a: b}\n')
  await run(`create --consumer ann -n ml -o ${file}`)
  await run(`create --consumer ann -n other -o ${file}`)
  await run(`revoke --consumer ann -n ml -o ${file}`)
  assert.deepEqual(secrets().map(({ metadata }) => metadata.name.slice(0, 7)), ['other', 'key-ann'])
  assert.match(readFileSync(file, 'utf8'), /# keys of the team[^]*# not a key/)
  await assert.rejects(run(`revoke --consumer ann -n ml -o ${file}`), /ann has no key in namespace ml/)
  await assert.rejects(run(`rotate --consumer bob -n ml -o ${file}`), /bob has no key in namespace ml that is still good/)
})

test('a file that is no YAML is not written over', async (t) => {
  const { file, run } = place(t)
  writeFileSync(file, 'a: [b\n')
  await assert.rejects(run(`create --consumer ann -o ${file}`), /keys\.yaml: /)
  assert.equal(readFileSync(file, 'utf8'), 'a: [b\n')
})

test('without a place to keep it, the manifest can be piped on and the key stands beside it', async (t) => {
  const { run } = place(t)
  const { out, err } = await run('create --consumer ann')
  assert.equal((JSON.parse(out) as Secret).stringData.keySha256, digest(err.trim()))
})

for (const [line, why] of [
  ['', /ACTION/], ['make --consumer a', /ACTION is create/], ['create', /--consumer NAME is required/], ['rotate --consumer a', /-o FILE or --apply/],
  ['create --consumer a -o f --apply', /exclude each other/], ['create --consumer a --expires soon', /RFC 3339/], ['create --consumer a --label x', /KEY=VALUE/],
  ['create --consumer a --group a,b', /without commas/], ['create --consumer a -n a -n b', /one namespace/],
] as const) {
  test(`refused: key ${line}`, () => {
    const options = readOptions('key', line === '' ? [] : line.split(' '), {})
    assert.ok('usage' in options && why.test(options.usage.join('; ')), JSON.stringify(options))
  })
}
