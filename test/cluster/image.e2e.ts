// What the image has in it, and that it is enough: the Dockerfile's context and its one folder, made as the Dockerfile makes
// them, and the chart's Pods run from that folder and a base as bare as the real one, on a real control plane.
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, globSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'
import { imagePath } from './kubelet/identity.ts'
import { outsideNamespace } from './netns.ts'
import { temporaryFolder } from './process.ts'

const root = join(import.meta.dirname, '../..')
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8').replaceAll('\\\n', '')
const [, build = '', final = ''] = dockerfile.split(/^FROM /m)
/** The last stage's arguments of an instruction, one entry for each time that it stands there. */
const said = (instruction: string) => [...final.matchAll(new RegExp(`^${instruction} (.*)$`, 'gm'))].map((match) => match[1] ?? '')

/** The build's context as .dockerignore leaves it, but for the packages, which the Dockerfile installs first. */
function context(folder: string): void {
  const lines = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  assert.equal(lines.shift(), '*')
  const [named, out] = [true, false].map((wanted) => lines.filter((line) => line.startsWith('!') === wanted)) as [string[], string[]]
  assert.deepEqual(out, ['**/*.test.ts', '**/node_modules'])
  for (const path of named.map((line) => line.slice(1))) {
    cpSync(join(root, path), join(folder, path), { recursive: true, filter: (from) => !from.endsWith('.test.ts') })
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
}

/** What of the base a program can notice: Node at its place, the libraries that it is linked with, a user, and /tmp. */
function base(folder: string): void {
  const linked = execFileSync('ldd', [process.execPath], { encoding: 'utf8' })
  const libraries = [...linked.matchAll(/(?:=> |^\s+)(\/\S+)/gm)].map((match) => match[1] ?? '')
  assert.ok(libraries.length > 3, linked)
  for (const [from, to] of [...libraries.map((path) => [path, path] as const), [process.execPath, '/nodejs/bin/node'] as const]) {
    mkdirSync(dirname(join(folder, to)), { recursive: true })
    copyFileSync(from, join(folder, to))
  }
  mkdirSync(join(folder, 'etc'))
  writeFileSync(join(folder, 'etc/passwd'), 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n')
  mkdirSync(join(folder, 'tmp'), { mode: 0o777 })
}

/** Every file, as paths in the folder. */
const filesOf = (folder: string) => readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => !entry.isDirectory()).map((entry) => relative(folder, join(entry.parentPath, entry.name))).sort()

/** Of package-lock.json. */
type Packed = Readonly<{ version?: string, dev?: boolean, devOptional?: boolean, optional?: boolean }>

/** The packages of a node_modules folder, those inside them too, as path and version. */
function packagesOf(folder: string, place = 'node_modules'): [string, string][] {
  if (!existsSync(folder)) return []
  return readdirSync(folder).flatMap((name): [string, string][] => {
    const [path, at] = [join(folder, name), `${place}/${name}`]
    if (name.startsWith('@')) return packagesOf(path, at)
    const { version } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as { version: string }
    return [[at, version], ...packagesOf(join(path, 'node_modules'), `${at}/node_modules`)]
  })
}

suite('the image', { skip: outsideNamespace() }, () => {
  const folder = temporaryFolder('image')
  const image = join(folder, 'context/dist/image')
  let cluster: ControlPlane
  let kubelet: Kubelet

  before(async () => {
    context(join(folder, 'context'))
    base(join(folder, 'base'))
    assert.match(build, /^RUN .*node build\/image\.ts$/m)
    await promisify(execFile)(process.execPath, ['build/image.ts'], { cwd: join(folder, 'context') })
    cluster = await startControlPlane({ controllerManager: true })
    const env = Object.fromEntries(said('ENV').map((line) => line.split('=') as [string, string]))
    kubelet = await startKubelet(cluster, { images: { 'registry.test/modelroute:v1': { layers: [image, join(folder, 'base')], env } } })
  })
  after(async () => {
    await kubelet?.stop()
    await cluster?.stop()
  })

  test('is its base and the folder that is looked at here, run by nobody in particular', () => {
    assert.match(dockerfile, /^ARG BASE=gcr\.io\/distroless\/nodejs24-debian13:nonroot$/m)
    assert.match(final, /^\$\{BASE\}$/m)
    assert.deepEqual([said('COPY'), said('ADD'), said('RUN')], [['--from=build /src/dist/image/ /'], [], []])
    assert.deepEqual([said('USER'), said('ENTRYPOINT'), said('CMD')], [['65532:65532'], ['["modelroute"]'], ['["--help"]']])
    const program = imagePath.split(':').map((path) => join(image, path, 'modelroute')).find((path) => existsSync(dirname(path)))!
    assert.ok(lstatSync(program).isSymbolicLink())
    assert.equal(readFileSync(join(image, readlinkSync(program)), 'utf8').split('\n')[0], '#!/nodejs/bin/node')
  })

  test('has no source, no test, no tool and nothing for one platform only', (t) => {
    const files = filesOf(image)
    const named = (pattern: RegExp) => files.filter((file) => pattern.test(file))
    assert.deepEqual(named(/\.[mc]?tsx?$/), ['dataplane/pipeline/errors.d.ts', 'dataplane/plugins/plugin.d.ts'].map((path) => `opt/modelroute/${path}`))
    assert.deepEqual(named(/\.(test|spec|e2e)\.|(^|\/)(tests?|__tests__|bench|charts|\.[^/]*)(\/|$)|tsconfig/), [])
    assert.deepEqual(named(/\.(map|node|bare|so|a|o|wasm|exe|sh)$/), [])
    assert.deepEqual([...new Set(files.map((file) => file.split('/').slice(0, 3).join('/')))].filter((path) => !path.startsWith('opt/modelroute/')), ['usr/local/bin'])
    const size = files.reduce((sum, file) => sum + lstatSync(join(image, file)).size, 0)
    const own = files.filter((file) => !file.includes('node_modules'))
    t.diagnostic(`${files.length} files, ${own.length} of them our own; ${(size / 2 ** 20).toFixed(1)} MiB beyond the base`)
    assert.ok(size < 64 * 2 ** 20, `${size} bytes: what has come in?`)
  })

  test('can be written to by nobody, and lends nobody rights', () => {
    for (const path of ['', ...globSync('**/*', { cwd: image })]) {
      const found = lstatSync(join(image, path))
      if (found.isSymbolicLink()) assert.equal(path, 'usr/local/bin/modelroute')
      else assert.equal(found.mode & 0o7777, found.isDirectory() || path === 'opt/modelroute/cli/modelroute.js' ? 0o755 : 0o644, path)
    }
  })

  test('has the packages that package-lock.json has for production, and no other', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, Packed> }
    const packages = new Map(Object.entries(lock.packages))
    const found = new Map(packagesOf(join(image, 'opt/modelroute/node_modules')))
    for (const [path, version] of found) {
      const { dev, devOptional, version: wanted } = packages.get(path) ?? {}
      assert.deepEqual([path, version, dev, devOptional], [path, wanted, undefined, undefined])
    }
    // Of what is optional, npm leaves out what is for other platforms; what are declarations only is taken out.
    const needed = [...packages].filter(([path, { dev, devOptional, optional }]) => path !== '' && !(dev ?? devOptional ?? optional) && !path.includes('/@types/'))
    assert.deepEqual(needed.map(([path]) => path).filter((path) => !found.has(path)), [])
    assert.ok(found.size > 100)
  })

  test('serves as the chart runs it: as nobody, with nothing to write to but its volumes', async (t) => {
    await cluster.apply(models())
    await cluster.helm('install', 'modelroute', join(root, 'charts/modelroute'), '-n', 'modelroute', '--create-namespace',
      '--set', 'image.repository=registry.test/modelroute,image.tag=v1', '--wait', '--timeout', '150s')
      .catch(async (error: Error) => assert.fail(`${error.message}\n${await kubelet.describe()}`))
    await cluster.apply([{
      apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'fraud', namespace: 'ml' },
      spec: { rules: [{ name: 'infer', backendRefs: [{ variant: 'stable', name: 'fraud', port: 8000 }] }] },
    }])
    await cluster.kubectl('-n', 'ml', 'wait', '--for=condition=Programmed', '--timeout=30s', 'modelroute/fraud')
    for (const { ip, labels } of kubelet.pods()) {
      if (labels['modelroute.io/gateway'] === undefined) continue
      const response = await fetch(`http://${ip}:8080/v2/models/fraud/infer`, {
        method: 'POST', body: JSON.stringify({ inputs: [{ name: 'amount', shape: [1], datatype: 'FP32', data: [120] }] }),
      })
      assert.match(await response.text(), /"model_version":"1"/)
    }
    const processes = globSync('/proc/[0-9]*').map((path) => Number(path.slice(6))).flatMap((pid) => {
      const of = (name: string) => existsSync(`/proc/${pid}/${name}`) ? readFileSync(`/proc/${pid}/${name}`, 'utf8') : ''
      return of('cmdline').startsWith('/nodejs/bin/node\0/usr/local/bin/modelroute\0') ? [{ pid, of }] : []
    })
    assert.equal(processes.length, 3, 'a controller and two proxies')
    for (const { pid, of } of processes) {
      const status = new Map(of('status').split('\n').map((line) => line.split(':\t') as [string, string]))
      const [is, groups, effective, gains] = ['Uid', 'Groups', 'CapEff', 'NoNewPrivs'].map((name) => status.get(name)?.trim())
      assert.deepEqual([is, effective, gains], ['65532\t65532\t65532\t65532', '0000000000000000', '1'])
      assert.ok(['', '65532'].includes(groups ?? '-'), groups)
      assert.match(of('mountinfo').split('\n').find((line) => line.split(' ')[4] === '/') ?? '', / ro,/)
      assert.deepEqual(readdirSync(`/proc/${pid}/root/usr`), ['local'])
      t.diagnostic(`${of('cmdline').split('\0')[2]}: ${status.get('VmRSS')?.trim()}, ${status.get('RssAnon')?.trim()} of it its own`)
    }
    assert.doesNotMatch(kubelet.logs('modelroute', ''), /EROFS|EACCES|ENOENT|MODULE_NOT_FOUND|"level":"error"/)
  })
})

/** A version of the quickstart's model, which needs this repository and not the image. */
function models(): object[] {
  const labels = { app: 'fraud' }
  const program = "import { startModelServer } from '/app/examples/quickstart/server.ts'; " +
    "await startModelServer({ version: '1', port: 8000, host: '0.0.0.0' })"
  const container = { name: 'model', image: 'quickstart', command: ['node', '--input-type=module', '-e', program], ports: [{ containerPort: 8000 }] }
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ml' } },
    {
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'fraud', namespace: 'ml' },
      spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [container] } } },
    },
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'fraud', namespace: 'ml' }, spec: { selector: labels, ports: [{ port: 8000 }] } },
  ]
}
