// The real programs the cluster tests run: found, or built once from their published Go modules.
//
//   const binaries = await ensureBinaries()
//   if ('missing' in binaries) …            // a sentence that says why they cannot be had here
//
// KUBEBUILDER_ASSETS, where set, is looked in first. Everything else is built into
// ${MODELROUTE_CACHE:-${XDG_CACHE_HOME:-~/.cache}/modelroute}/<name>-<version>-<hash of what went in>: about six
// minutes on two cores the first time, nothing afterwards. In CI (CI=true) "cannot be had" is an error.
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { access, constants, mkdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder } from '../cache-folder.ts'

const run = promisify(execFile)
const here = import.meta.dirname

/** Absolute paths. */
export type Binaries = Readonly<{
  etcd: string
  kubeApiserver: string
  kubeControllerManager: string
  kubectl: string
  helm: string
  kubeconform: string
}>

/** Why the programs cannot be had on this machine, as a sentence. */
export type Missing = Readonly<{ missing: string }>

type Recipe = Readonly<{
  name: string
  version: string
  /** The programs it makes. */
  makes: readonly string[]
  /** `go` arguments; the built files go to GOBIN, which is also `$out`. */
  go: (out: string) => string[]
  /** The module folder to build in, or none for a `go install` of a published program. */
  module?: string
  /** Or the published module itself, with the dependencies that it was published with. */
  published?: string
}>

const kubernetes = 'v1.36.3'
export const certManagerVersion = 'v1.21.2'
const stamp = `-s -w -X k8s.io/component-base/version.gitVersion=${kubernetes}`
const build = ['build', '-trimpath', '-buildvcs=false', '-mod=readonly']

const recipes = {
  etcd: {
    name: 'etcd', version: 'v3.6.8', makes: ['etcd'], module: 'etcd',
    go: (out) => [...build, '-ldflags', '-s -w', '-o', join(out, 'etcd'), '.'],
  },
  controlPlane: {
    name: 'kubernetes', version: kubernetes, makes: ['kube-apiserver', 'kube-controller-manager'], module: 'kubernetes',
    go: (out) => [...build, '-ldflags', stamp, '-o', `${out}/`, './kube-apiserver', './kube-controller-manager'],
  },
  kubectl: {
    name: 'kubectl', version: kubernetes, makes: ['kubectl'], module: 'kubernetes',
    go: (out) => [...build, '-ldflags', stamp, '-o', `${out}/`, './kubectl'],
  },
  // Not the program that is published: most of that is for authorities elsewhere.
  certManager: {
    name: 'cert-manager', version: certManagerVersion, makes: ['cert-manager'], module: 'cert-manager',
    go: (out) => [...build, '-ldflags', '-s -w', '-o', join(out, 'cert-manager'), '.'],
  },
  helm: install('helm.sh/helm/v4/cmd/helm', 'v4.3.1'),
  kubeconform: install('github.com/yannh/kubeconform/cmd/kubeconform', 'v0.8.0'),
} satisfies Record<string, Recipe>

let once: Promise<Binaries | Missing> | undefined

/** Finds or builds every program. Asked twice, it answers with the first result. */
export function ensureBinaries(): Promise<Binaries | Missing> {
  once ??= find()
  return once
}

/** Why cluster tests cannot run here, or false: for `test(name, { skip: await cannotRun() }, …)`. */
export async function cannotRun(): Promise<string | false> {
  const binaries = await ensureBinaries()
  return 'missing' in binaries ? binaries.missing : false
}

async function find(): Promise<Binaries | Missing> {
  try {
    const [etcd, kubeApiserver, kubeControllerManager] = [
      await program('etcd', recipes.etcd),
      await program('kube-apiserver', recipes.controlPlane),
      await program('kube-controller-manager', recipes.controlPlane),
    ]
    return {
      etcd, kubeApiserver, kubeControllerManager,
      kubectl: await onPath('kubectl') ?? await program('kubectl', recipes.kubectl),
      helm: await program('helm', recipes.helm),
      kubeconform: await program('kubeconform', recipes.kubeconform),
    }
  } catch (error) {
    if (!(error instanceof NoGo) || process.env.CI === 'true') throw error
    return { missing: error.message }
  }
}

/** Why programs of Go cannot be had here, or false, as `cannotRun`. In CI it throws. */
export async function withoutGo(): Promise<string | false> {
  if (await onPath('go') !== undefined) return false
  const why = 'some programs are built with Go, and there is no go on PATH'
  if (process.env.CI === 'true') throw new Error(why)
  return why
}

/** cert-manager's controllers of issuers that sign by themselves: `cert-manager KUBECONFIG NAMESPACE`. */
export const certManagerProgram = () => program('cert-manager', recipes.certManager)

/** A program that is published as a Go module, by the import path of its command. */
export function goProgram(path: string, version: string): Promise<string> {
  const recipe = install(path, version)
  return program(recipe.name, recipe)
}

/** The same, where the program is built within its module: of one that has no list of versions to install from. */
export function goProgramOf(module: string, version: string, path: string, name: string): Promise<string> {
  return program(name, { name, version, makes: [name], published: `${module}@${version}`, go: (out) => [...build, '-ldflags', '-s -w', '-o', join(out, name), path] })
}

/** The folder of a published Go module's sources, for what it carries beside them. */
export async function goModule(path: string, version: string): Promise<string> {
  const go = await onPath('go')
  if (!go) throw new NoGo(`${path} ${version} is fetched with Go, and there is no go on PATH`)
  const { stdout } = await run(go, ['mod', 'download', '-json', `${path}@${version}`], { cwd: tmpdir(), env: { ...process.env, GOFLAGS: '', GOWORK: 'off' } })
  return (JSON.parse(stdout) as { Dir: string }).Dir
}

class NoGo extends Error {}

async function program(name: string, recipe: Recipe): Promise<string> {
  const assets = process.env.KUBEBUILDER_ASSETS
  if (assets) {
    const file = join(assets, name)
    if (existsSync(file)) return file
  }
  return join(await folder(recipe), name)
}

async function folder(recipe: Recipe): Promise<string> {
  const go = await onPath('go')
  if (!go) throw new NoGo(`${recipe.name} ${recipe.version} is built with Go, and there is no go on PATH`)
  const out = join(cacheFolder, `${recipe.name}-${recipe.version}-${await fingerprint(recipe, go)}`)
  if (!existsSync(out)) await make(recipe, go, out)
  return out
}

/** Everything that decides what comes out: sources, pinned dependencies, compiler, flags. */
async function fingerprint(recipe: Recipe, go: string): Promise<string> {
  const hash = createHash('sha256')
  hash.update((await run(go, ['env', 'GOVERSION', 'GOOS', 'GOARCH'])).stdout)
  hash.update(JSON.stringify(recipe.go('')))
  if (recipe.module) {
    const sources = recipe.makes.length === 1 && recipe.module !== 'kubernetes' ? ['main.go'] : recipe.makes.map((name) => `${name}/main.go`)
    for (const file of ['go.mod', 'go.sum', ...sources]) {
      hash.update(await readFile(join(here, 'go', recipe.module, file)))
    }
  }
  return hash.digest('hex').slice(0, 12)
}

/** Built beside its place and renamed into it, so that a folder that exists is complete; one build at a time. */
async function make(recipe: Recipe, go: string, out: string): Promise<void> {
  await mkdir(join(out, '..'), { recursive: true })
  const part = `${out}.part-${process.pid}`
  process.stderr.write(`building ${recipe.makes.join(', ')} ${recipe.version} (once; kept in ${out})\n`)
  const script = 'out=$1 part=$2; shift 2; [ -d "$out" ] || { mkdir -p "$part" && "$@" && mv "$part" "$out"; }'
  const nice = await onPath('nice')
  const flock = await onPath('flock')
  const command = [
    ...(flock ? [flock, join(out, '..', 'build.lock')] : []),
    'sh', '-c', script, 'sh', out, part, ...(nice ? [nice] : []), go, ...recipe.go(part),
  ]
  const [published, version = ''] = recipe.published?.split('@') ?? []
  const sources = published === undefined ? undefined : await goModule(published, version)
  const started = Date.now()
  const said: string[] = []
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn(command[0] ?? '', command.slice(1), {
      cwd: recipe.module ? join(here, 'go', recipe.module) : sources ?? join(out, '..'),
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off', GOBIN: part },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => said.push(text))
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) {
    const end = said.join('').trimEnd().split('\n').slice(-30).join('\n')
    throw new Error(`building ${recipe.name} ${recipe.version} failed: go ended with ${code}\n${end}`)
  }
  process.stderr.write(`built ${recipe.makes.join(', ')} in ${Math.round((Date.now() - started) / 1000)} s\n`)
}

function install(path: string, version: string): Recipe {
  // A path may end in its major version.
  const name = /([^/]+?)(?:\/v\d+)?$/.exec(path)?.[1] ?? path
  return { name, version, makes: [name], go: () => ['install', '-trimpath', '-ldflags', '-s -w', `${path}@${version}`] }
}

async function onPath(name: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const file = join(folder, name)
    if (folder && await access(file, constants.X_OK).then(() => true, () => false)) return file
  }
  return undefined
}

if (import.meta.main) console.log(await ensureBinaries())
