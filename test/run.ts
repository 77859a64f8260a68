import { spawn } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * `npm test`: everything that needs nothing but this repository. Tests that need a cluster, model servers or a
 * browser end in `.e2e.ts` and have runners of their own; they are named here, so that nobody takes this for all.
 */

const files = globSync('{bench,build,cli,console,controller,crds,dashboards,dataplane,examples,exposition,outgoing,table,test}/**/*.test.ts').sort()

/**
 * To start and to load what is tested takes more than most tests do, so that files share a process, a few each. Those that
 * start others, measure or change themselves, or set up something for all tests have one of their own.
 */
const alone = /node:(child_process|worker_threads)|process\.(cpuUsage|memoryUsage|env)|monitorEventLoopDelay|setFlagsFromString|^(before|after)(Each)?\(/m
const together = 6
const folder = mkdtempSync(join(tmpdir(), 'modelroute-test-'))
const [own = [], shared = []] = [true, false].map((wanted) => files.filter((file) => alone.test(readFileSync(file, 'utf8')) === wanted))
const groups = Array.from({ length: Math.ceil(shared.length / together) }, (_, i) => {
  const group = shared.slice(i * together, (i + 1) * together)
  const file = join(folder, `${String(i).padStart(3, '0')}.test.mjs`)
  writeFileSync(file, group.map((each) => `import ${JSON.stringify(pathToFileURL(resolve(each)).href)}\n`).join(''))
  return file
})

const elsewhere: Record<string, string> = {
  'npm run test:cluster': 'a real Kubernetes control plane (builds it with Go, needs root for a network namespace)',
  'npm run test:browser': 'the portal and the console in Chromium (installs it with apt-get)',
  'npm run test:servers': 'real Triton, llama.cpp, nginx and Prometheus servers (installs them with pip, apt-get and Go)',
  'npm run test:package': 'the packed package, installed into an empty folder, and the workflows that publish it (needs Go)',
  'npm run test:redis': 'a real Redis, a cluster of them, and one that fails (installs it with apt-get)',
  'npm run test:load': 'properties at length, a hundred thousand malformed bodies, a rolling restart under load, killed backends, a thousand clients that vanish or are slow (minutes)',
}

// One file more than there are cores: half of the time of many goes by in waiting.
const concurrency = `--test-concurrency=${availableParallelism() + 1}`
// Each of them is a process that loads much the same: what one has compiled, types stripped, serves the others.
const compiled = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'modelroute', 'compiled')
const child = spawn(process.execPath, ['--test', concurrency, '--test-timeout=240000', ...own, ...groups], {
  stdio: 'inherit', env: { NODE_COMPILE_CACHE: compiled, ...process.env },
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  rmSync(folder, { recursive: true })
  console.log('\nnot run here:')
  for (const [command, needs] of Object.entries(elsewhere)) console.log(`  ${command}: ${needs}`)
  process.exitCode = signal ? 1 : (code ?? 1)
})
