import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/**
 * `npm test`: everything that needs nothing but this repository. Tests that need a cluster, model servers or a
 * browser end in `.e2e.ts` and have runners of their own; they are named here, so that nobody takes this for all.
 */

const files = globSync('{bench,cli,controller,crds,dataplane,examples,outgoing,table,test}/**/*.test.ts').sort()
const elsewhere: Record<string, string> = {
  'npm run test:cluster': 'a real Kubernetes control plane (builds it with Go, needs root for a network namespace)',
  'npm run test:browser': 'the portal in Chromium (installs it with apt-get)',
  'npm run test:servers': 'real Triton, llama.cpp, nginx and Prometheus servers (installs them with pip, apt-get and Go)',
  'npm run test:redis': 'a real Redis, a cluster of them, and one that fails (installs it with apt-get)',
  'npm run test:load': 'a rolling restart under load, killed backends, a thousand clients that vanish or are slow (minutes)',
}

// Node leaves one core free by default, which on two is half of them.
const child = spawn(process.execPath, ['--test', `--test-concurrency=${Math.max(2, availableParallelism() - 1)}`, '--test-timeout=120000', ...files], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  console.log('\nnot run here:')
  for (const [command, needs] of Object.entries(elsewhere)) console.log(`  ${command}: ${needs}`)
  process.exitCode = signal ? 1 : (code ?? 1)
})
