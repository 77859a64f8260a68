import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, get } from 'node:http'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { adopt } from '../cluster/process.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { serviceAt } from '../manifests.ts'

const rounds = 20

const manifests = (port: number) => `
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: ml}
spec:
  rules:
  - name: infer
    backendRefs: [{variant: stable, name: fraud, port: 8000}]
    logging: {audit: Strict}
---
${serviceAt('fraud', port, 'ml')}
`

/** The status as soon as it is there; 0 where none comes. */
function ask(url: string, id: string, agent: Agent): Promise<number> {
  return new Promise((resolve) => {
    get(url, { agent, headers: { 'x-request-id': id } }, (answer) => {
      answer.on('error', () => {}).resume()
      resolve(answer.statusCode ?? 0)
    }).on('error', () => resolve(0))
  })
}

test(`a gateway is killed ${rounds} times under load: no answer is without its record, and no line of the log is lost`, { timeout: 170_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'audit-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const port = await httpUpstream(t, (request, response) => { request.resume().once('end', () => response.end('{}')) })
  writeFileSync(join(folder, 'all.yaml'), manifests(port))
  const file = join(folder, 'audit')
  const bin = join(import.meta.dirname, '../../cli/modelroute.js')
  const answered = new Set<string>()
  let sent = 0
  for (let round = 0; round < rounds; round++) {
    const ports = ['--http-port', '0', '--admin-port', '0', '--control-port', '0', '--host', '127.0.0.1']
    const child = spawn(process.execPath, [bin, 'serve', '-f', join(folder, 'all.yaml'), '--audit', file, '--log-level', 'error', ...ports], { stdio: ['ignore', 'pipe', 'inherit'] })
    adopt(child)
    const ended = once(child, 'exit')
    const url = await new Promise<string>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line.includes('"name":"http"')) resolve((JSON.parse(line) as { url: string }).url)
      })
    })
    const agent = new Agent({ keepAlive: true, maxSockets: 32 })
    const enough = answered.size + 50 + Math.random() * 500
    let dead = false
    await Promise.all(Array.from({ length: 32 }, async () => {
      while (!dead) {
        const id = `r-${sent++}`
        const status = await ask(url, id, agent)
        if (status === 200) answered.add(id)
        if (answered.size >= enough && !dead) {
          dead = true
          child.kill('SIGKILL')
        }
      }
    }))
    agent.destroy()
    await ended
  }
  const recorded = new Set<string>()
  let torn = 0
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (line === '') continue
    try {
      recorded.add((JSON.parse(line) as { request_id: string }).request_id)
    } catch {
      torn++
    }
  }
  assert.deepEqual([...answered].filter((id) => !recorded.has(id)), [])
  assert.ok(torn <= rounds, `${torn} lines were cut short`)
  console.log(`${answered.size} answers, ${recorded.size} records, ${torn} lines cut short`)
})
