// The tests for HTTP caches of http-cache-tests, against any cache: which cases it passes.
import { execFile, spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder } from '../../cache-folder.ts'
import { adopt, temporaryFolder } from '../../cluster/process.ts'
import { until } from '../../cluster/wait.ts'
import { freePorts } from '../../free-ports.ts'

const run = promisify(execFile)
const version = '0.4.5'
const cache = join(cacheFolder, `http-cache-tests-${version}`)

/** Installed once, apart from what ModelRoute needs. */
export async function ensureSuite(): Promise<string> {
  const folder = join(cache, 'node_modules/http-cache-tests')
  if (!existsSync(join(cache, 'done'))) {
    await run('npm', ['install', '--prefix', cache, '--ignore-scripts', '--no-audit', '--no-fund', `http-cache-tests@${version}`])
    writeFileSync(join(cache, 'done'), '')
  }
  return folder
}

/** What a case is for: a rule of the RFC, something that makes a cache better, or a question without a right answer. */
export type Kind = 'required' | 'optimal' | 'check'
/** `why`: undefined where it passed; where a case that it builds on failed, that one. */
export type Case = Readonly<{ id: string; suite: string; name: string; kind: Kind; why: string | undefined }>
export type Suite = Readonly<{ /** Where caches find what they cache. */ port: number; against(base: string): Promise<readonly Case[]>; stop(): Promise<void> }>

const program = `
const [folder, base] = process.argv.slice(2)
const { runTests, getResults } = await import(folder + '/client/runner.mjs')
const { default: fetch } = await import(folder + '/../node-fetch/lib/index.mjs')
const { default: suites } = await import(folder + '/tests/index.mjs')
await runTests(suites, fetch, false, base, 40)
const results = getResults()
const kinds = new Map(suites.flatMap(({ tests }) => tests.map((test) => [test.id, test])))
const passed = (id) => results[id] === true
const cases = suites.flatMap(({ name: suite, tests }) => tests.filter(({ id }) => id in results).map(({ id, name, kind = 'required', depends_on: on = [] }) => {
  const missing = on.find((one) => !passed(one) && (kinds.get(one)?.kind ?? 'required') !== 'check')
  return { id, suite, name, kind, why: results[id] === true && missing === undefined ? undefined : missing === undefined ? results[id].join(': ') : 'builds on ' + missing }
}))
console.log(JSON.stringify(cases))
process.exit()
`

export async function startSuite(): Promise<Suite> {
  const folder = await ensureSuite()
  const [port = 0] = await freePorts(1)
  const home = temporaryFolder('http-cache')
  const env = { ...process.env, npm_config_protocol: 'http', npm_config_port: String(port), npm_config_pidfile: join(home, 'pid') }
  const origin = spawn(process.execPath, [join(folder, 'server/server.mjs')], { cwd: folder, env, stdio: 'ignore' })
  adopt(origin)
  const ended = new Promise<void>((resolve) => { origin.once('exit', () => resolve()) })
  await until('the origin of the tests', async () => (await fetch(`http://127.0.0.1:${port}/state/none`)).status > 0, { timeout: 20_000, every: 20 })
  const runner = join(home, 'run.mjs')
  writeFileSync(runner, program)
  return {
    port,
    async against(base) {
      const { stdout } = await run(process.execPath, [runner, folder, base], { maxBuffer: 2 ** 24, timeout: 240_000 })
      return JSON.parse(stdout.trim().split('\n').at(-1) ?? '[]') as Case[]
    },
    stop() {
      origin.kill()
      return ended
    },
  }
}
