import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'node:test'
import { freePorts } from './free-ports.ts'
import { blocksOf, patientSleep, walk } from './walk.ts'

/**
 * The tour of the README, as a reader would take it: `npm start`, then each block in order in one shell, and what the
 * README says comes out of it. On a copy of the tree, and on free ports in place of the ones that the text names.
 */

const root = join(import.meta.dirname, '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const tour = /^## One minute\n(.*?)^## /ms.exec(readme)?.[1] ?? ''
const blocks = blocksOf(tour)

test('every command of the tour does what the README says', { timeout: 200_000 }, async (t) => {
  assert.ok(blocks.length >= 8, 'the tour was found')
  const [http, admin, control, first, second] = await freePorts(5)
  const folder = copyOfTree({ '18081': String(first), '18082': String(second) })
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const env = {
    ...process.env,
    MODELROUTE_HTTP_PORT: String(http), MODELROUTE_ADMIN_PORT: String(admin), MODELROUTE_CONTROL_PORT: String(control),
  }
  const gateway = spawn('npm', ['start'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  const ended = once(gateway, 'exit')
  t.after(async () => {
    // npm does not pass signals on to what it runs; the group does.
    process.kill(-gateway.pid!, 'SIGTERM')
    await ended
  })
  const curls: string[] = []
  for await (const line of createInterface({ input: gateway.stdout })) {
    if (line.startsWith('curl ')) curls.push(line)
    if (curls.length === 3) break
  }
  gateway.stdout.resume()
  for (const line of curls) assert.match(execFileSync('bash', ['-c', line], { encoding: 'utf8' }), /"fraud"/)

  const adapt = (text: string) => text.replaceAll('127.0.0.1:8080', `127.0.0.1:${http}`)
  // `check` of a broken file fails, as it should.
  const outputs = await walk(t, blocks, { cwd: folder, adapt, strict: false, env: await patientSleep(t, admin ?? 0) })
  const splits = outputs.flatMap((output) => /(\d+) "model_version":"1"\n\s*(\d+) "model_version":"2"\n$/.exec(output)?.slice(1, 3) ?? [])
  assert.equal(splits.length, 4, outputs.join('---\n'))
  const near = (index: number, wanted: number) => assert.ok(Math.abs(Number(splits[index]) - wanted) <= 1, splits.join())
  near(0, 90)
  near(1, 10)
  near(2, 50)
  near(3, 50)
  assert.match(outputs.at(-2) ?? '', /"model_name":"fraud"/, 'the last good version goes on serving')
})

function copyOfTree(replacements: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-readme-'))
  for (const part of ['cli', 'console', 'controller', 'crds', 'dataplane', 'examples', 'exposition', 'outgoing', 'table', 'package.json']) {
    cpSync(join(root, part), join(folder, part), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const file of ['server.ts', 'services.yaml']) {
    const path = join(folder, 'examples/quickstart', file)
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, Object.entries(replacements).reduce((all, [from, to]) => all.replaceAll(from, to), text))
  }
  return folder
}
