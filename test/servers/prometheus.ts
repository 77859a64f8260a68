// A real Prometheus on a free port of loopback, until the test ends.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder } from '../cache-folder.ts'
import { Process, temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'

const run = promisify(execFile)

/** Debian's package, taken apart and not installed: installing it would start a service. */
export async function ensurePrometheus(name: 'prometheus' | 'promtool' = 'prometheus'): Promise<string> {
  const cache = join(cacheFolder, 'prometheus')
  const program = join(cache, 'usr/bin', name)
  if (existsSync(program)) return program
  const folder = temporaryFolder('prometheus-package')
  await run('apt-get', ['download', '-q', 'prometheus'], { cwd: folder }).catch(async () => {
    await run('apt-get', ['update', '-q'])
    await run('apt-get', ['download', '-q', 'prometheus'], { cwd: folder })
  })
  const [file = ''] = readdirSync(folder).filter((name) => name.endsWith('.deb'))
  await run('dpkg', ['-x', file, 'x'], { cwd: folder })
  mkdirSync(join(cache, 'usr/bin'), { recursive: true })
  for (const each of ['prometheus', 'promtool']) renameSync(join(folder, 'x/usr/bin', each), join(cache, 'usr/bin', each))
  return program
}

/** Runs it to its end; rejects with what it says where it is not content. */
export async function promtool(args: readonly string[], input = ''): Promise<string> {
  const running = run(await ensurePrometheus('promtool'), [...args])
  running.child.stdin?.end(input)
  const { stdout, stderr } = await running
  return stdout + stderr
}

/** `host:port`, and what its series are labelled with beside the job, as pods' are by whatever finds them. */
type Target = string | Readonly<{ target: string; labels: Readonly<Record<string, string>> }>

/** Scrapes each target once a second, as a job of its own, and keeps exemplars. */
export async function startPrometheus(port: number, targets: Readonly<Record<string, Target>>, rules: readonly string[] = []): Promise<{ stop(): Promise<void> }> {
  const folder = temporaryFolder('prometheus')
  const config = join(folder, 'prometheus.yaml')
  writeFileSync(config, `
global: {scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s}
rule_files: [${rules.join(', ')}]
scrape_configs:
${Object.entries(targets).map(([job, target]) => `- job_name: ${job}\n  static_configs: [${JSON.stringify(typeof target === 'string' ? { targets: [target] } : { targets: [target.target], labels: target.labels })}]`).join('\n')}
`)
  const prometheus = new Process({
    name: 'prometheus', command: await ensurePrometheus(), log: join(folder, 'output.log'),
    args: ['--enable-feature=exemplar-storage', `--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=127.0.0.1:${port}`],
  })
  prometheus.start()
  await until('Prometheus to be ready', async () => (await fetch(`http://127.0.0.1:${port}/-/ready`)).ok, { timeout: 20_000, every: 50, describe: () => prometheus.tail() })
  return { stop: () => prometheus.kill('SIGTERM') }
}
