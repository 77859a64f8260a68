import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'

const lines = new URL('./lines.ts', import.meta.url).href

/** A process that writes to its own output, and tells of itself on the other one. */
function started(program: string) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', `
    import { createLines, stdout } from ${JSON.stringify(lines)}
    const lines = createLines({ sink: stdout, notice: () => '' })
    ${program}
  `], { stdio: ['ignore', 'pipe', 'pipe'] })
  return { child, told: text(child.stderr) }
}

test('a reader of the log who is late stops nothing, and gets every line whole', async () => {
  const { child, told } = started(`
    for (let i = 0; i < 20000; i++) lines.hold(i + ' ' + 'ü'.repeat(50) + '\\n')
    setTimeout(() => process.stderr.write('turned'), 20)
    await lines.flush()
  `)
  // Nobody reads before the process has gone on.
  await once(child.stderr, 'readable')
  const written = await text(child.stdout)
  assert.equal(await told, 'turned')
  assert.equal(written, Array.from({ length: 20_000 }, (_, i) => `${i} ${'ü'.repeat(50)}\n`).join(''))
})

test('a reader of the log who goes away ends nothing, and no other file gets the lines', async () => {
  const { child, told } = started(`
    import { openSync } from 'node:fs'
    const settled = []
    for (let i = 0; i < 20; i++) {
      settled.push(await lines.settle(i + '\\n'))
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const next = openSync(process.execPath, 'r')
    process.stderr.write(JSON.stringify({ last: settled.at(-1), next }))
  `)
  child.stdout.destroy()
  const { last, next } = JSON.parse(await told) as { last: boolean; next: number }
  assert.equal(last, false)
  assert.ok(next > 2, 'the number of the output was given away')
})
