import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { fleet, route } from '../../test/push/table.ts'
import { recorder, until } from '../../test/push/rig.ts'
import type { Update } from '../../table/messages.ts'
import { RESOURCES } from '../../table/resources.ts'
import { hashOf, versionOf } from '../../table/version.ts'
import { createStore } from '../store.ts'
import { openDisk, parseTable } from './disk.ts'

const folder = mkdtempSync(join(tmpdir(), 'modelroute-disk-'))
test.after(() => rmSync(folder, { recursive: true }))
let files = 0
const fresh = () => join(folder, `${(files += 1)}`, 'table')

function snapshots(table: ReturnType<typeof fleet>): Update[] {
  return RESOURCES.map((resource) => {
    const items = [...table[resource].values()]
    const version = versionOf(new Map(items.map((item) => [item.id, hashOf(item)])))
    return { type: 'snapshot', schema: 1, resource, version, items: structuredClone(items) }
  })
}

/** A proxy that got that table and stopped. */
async function leave(file: string, table = fleet([route('ml/a')])) {
  const disk = await openDisk({ file, gateway: 'default' })
  const store = createStore({ activate: () => [], disk })
  for (const update of snapshots(table)) store.handle(update)
  await disk.close()
  return store
}

async function boot(file: string, gateway = 'default', activate = (): { id: string; message: string }[] => []) {
  const notes = recorder()
  const disk = await openDisk({ file, gateway, log: notes.log })
  return { store: createStore({ activate, disk, log: notes.log }), disk, notes }
}

test('a proxy boots from its last good table, claims its version, and knows how old it is', async () => {
  const file = fresh()
  const before = await leave(file, fleet([route('ml/a'), route('ml/b', 7)]))
  const at = new Date('2026-01-02T03:04:05Z')
  utimesSync(file, at, at)
  const { store } = await boot(file)
  assert.equal(store.ready, true)
  assert.deepEqual(store.versions, { ...before.versions, secrets: null }, 'secrets are never on disk')
  assert.deepEqual(store.active, before.active)
  assert.equal(store.confirmedAt, at.getTime())
})

test('the file is readable by its owner only, and nothing else is left beside it', async () => {
  const file = fresh()
  await leave(file)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(join(file, '..')), ['table'])
})

test('nothing on disk is no table and no complaint', async () => {
  const { store, notes } = await boot(fresh())
  assert.equal(store.ready, false)
  assert.deepEqual(notes.lines, [])
})

test('a table cut short at any byte is not used', async () => {
  const file = fresh()
  await leave(file)
  const bytes = readFileSync(file)
  assert.notEqual(typeof parseTable(bytes, 'default'), 'string')
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(typeof parseTable(bytes.subarray(0, length), 'default'), 'string', `cut at ${length}`)
  }
})

test('a table with any byte changed is not used', async () => {
  const file = fresh()
  await leave(file)
  const bytes = readFileSync(file)
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 0x01
    assert.equal(typeof parseTable(changed, 'default'), 'string', `changed at ${at}`)
  }
})

for (const [what, gateway, spoil, why] of [
  ['of another gateway', 'edge', (text: string) => text, /gateway default/],
  ['that is empty', 'default', () => '', /cut short/],
  ['that is cut short', 'default', (text: string) => text.slice(0, -20), /cut short/],
  ['that is something else', 'default', () => 'hello\nworld\n', /checksum/],
] as const) {
  test(`a file ${what} is kept aside for the operator, and the proxy starts without`, async () => {
    const file = fresh()
    await leave(file)
    const spoilt = spoil(readFileSync(file, 'utf8'))
    writeFileSync(file, spoilt)
    const { store, notes, disk } = await boot(file, gateway)
    assert.equal(store.ready, false)
    assert.deepEqual(store.versions, { endpoints: null, credentials: null, secrets: null, routes: null })
    assert.match(notes.text(), why)
    assert.equal(readFileSync(`${file}.unusable`, 'utf8'), spoilt)
    for (const update of snapshots(fleet([route('ml/b')]))) store.handle(update)
    await disk.close()
    assert.deepEqual([...((await boot(file, gateway)).store.active?.routes.keys() ?? [])], ['ml/b'])
  })
}

/** A file as a later version would write it, correct in every other way. */
function sealed(lines: readonly unknown[]): Buffer {
  const { createHash } = process.getBuiltinModule('node:crypto')
  const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
  return Buffer.from(`${body}${JSON.stringify({ sha256: createHash('sha256').update(body).digest('hex') })}\n`)
}

const head = { format: 'modelroute-table', schema: 1, gateway: 'default' }

for (const [what, lines, why] of [
  ['schema', [{ ...head, schema: 2 }], /schema is 2, and this version reads 1/],
  ['format', [{ format: 'other' }], /not a table/],
  ['head', [null], /not a table/],
  ['line', [head, { resource: 'secrets', hash: 'x', item: {} }], /not an item/],
] as const) {
  test(`a sealed file with another ${what} is not used`, () => {
    const parsed = parseTable(sealed(lines), 'default')
    assert.ok(typeof parsed === 'string')
    assert.match(parsed, why)
  })
}

test('a folder in the place of the file does not stop the proxy', async () => {
  const file = fresh()
  mkdirSync(file, { recursive: true })
  const { store, notes } = await boot(file)
  assert.equal(store.ready, false)
  assert.match(notes.text(), /not a regular file/)
})

test('a folder that cannot be written costs a log line, not traffic', async () => {
  const file = join(folder, 'file-not-folder', 'table')
  writeFileSync(join(folder, 'file-not-folder'), '')
  const notes = recorder()
  const disk = await openDisk({ file, gateway: 'default', log: notes.log })
  const store = createStore({ activate: () => [], disk, log: notes.log })
  for (const update of snapshots(fleet([route('ml/a')]))) store.handle(update)
  await disk.flush()
  for (const update of snapshots(fleet([route('ml/b')]))) store.handle(update)
  await disk.close()
  assert.equal(store.ready, true)
  assert.equal(notes.lines.filter(({ message }) => /cannot be kept on disk/.test(message)).length, 1)
})

test('a route that the next process refuses is asked for again, and the others serve meanwhile', async () => {
  const file = fresh()
  await leave(file, fleet([route('ml/a'), route('ml/b')]))
  const { store } = await boot(file, 'default', () => [{ id: 'ml/a', message: 'not any more' }])
  assert.deepEqual([...(store.active?.routes.keys() ?? [])], ['ml/b'])
  assert.equal(store.versions.routes, null, 'a version that is not in force is not claimed')
  assert.notEqual(store.versions.endpoints, null)
})

test('what is on disk is the last good version of a refused route, not what was refused', async () => {
  const file = fresh()
  const disk = await openDisk({ file, gateway: 'default' })
  let refuse = false
  const store = createStore({ activate: () => (refuse ? [{ id: 'ml/a', message: 'no' }] : []), disk })
  for (const update of snapshots(fleet([route('ml/a', 1)]))) store.handle(update)
  refuse = true
  for (const update of snapshots(fleet([route('ml/a', 2)]))) store.handle(update)
  await disk.close()
  const next = await boot(file)
  assert.deepEqual(next.store.active?.routes.get('ml/a'), route('ml/a', 1))
  assert.notEqual(next.store.versions.routes, store.versions.routes, 'so that the controller sends it again')
})

test('a confirmation reaches the file without a write of it', async () => {
  const file = fresh()
  await leave(file)
  const disk = await openDisk({ file, gateway: 'default', confirmMs: 0 })
  const [bytes, at] = [readFileSync(file), new Date(0)]
  utimesSync(file, at, at)
  disk.confirm()
  await until('the time moves', () => statSync(file).mtimeMs > 0)
  assert.deepEqual(readFileSync(file), bytes)
  await disk.close()
})

test('a burst of changes is one write, of the last', async () => {
  const file = fresh()
  const disk = await openDisk({ file, gateway: 'default', debounceMs: 20 })
  const store = createStore({ activate: () => [], disk })
  for (let weight = 0; weight < 50; weight++) {
    for (const update of snapshots(fleet([route('ml/a', weight)]))) store.handle(update)
  }
  assert.equal(existsSync(file), false, 'not on the path of the update')
  await until('written', () => existsSync(file))
  await disk.close()
  assert.deepEqual((await boot(file)).store.active?.routes.get('ml/a'), route('ml/a', 49))
})

test('a file that others could read is not trusted to stay so', async () => {
  const file = fresh()
  await leave(file)
  chmodSync(file, 0o644)
  await leave(file, fleet([route('ml/b')]))
  assert.equal(statSync(file).mode & 0o777, 0o600)
})

test('kill -9 at any moment of a write leaves a whole table', { timeout: 200_000 }, async () => {
  const file = fresh()
  const writer = fileURLToPath(import.meta.resolve('../../test/push/writer.ts'))
  for (let round = 0; round < 12; round++) {
    const child = spawn(process.execPath, [writer, file], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    // Not a wait for anything: the moment of death is what is tried.
    await new Promise((resolve) => setTimeout(resolve, round * 3))
    child.kill('SIGKILL')
    await once(child, 'exit')
    const { store, notes } = await boot(file)
    assert.deepEqual(notes.lines.filter(({ level }) => level !== 'info'), [])
    const routes = [...(store.active?.routes.values() ?? [])]
    const weights = new Set(routes.map(({ rules }) => rules[0]?.variants[0]?.weight))
    assert.equal(store.active?.routes.size, 300)
    assert.equal(weights.size, 1, 'of one version')
  }
})
