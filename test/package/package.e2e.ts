// The npm package, as somebody has it who never saw this repository: packed, installed into an empty folder with what it
// needs at run time, and used there by its commands and its types.
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, suite, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { buildPackage } from '../../build/package.ts'
import manifest from '../../package.json' with { type: 'json' }
import { freePorts } from '../free-ports.ts'

const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)
const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(MODELROUTE|NODE|npm)_/.test(name)))
type Packed = Readonly<{ filename: string; integrity: string; size: number; unpackedSize: number; files: readonly Readonly<{ path: string; mode: number }>[] }>

suite('the package', () => {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-package-'))
  const [built, user] = [join(folder, 'built'), join(folder, 'user')]
  const installed = join(user, 'node_modules/modelroute')
  const bin = (name: string) => join(user, 'node_modules/.bin', name)
  let packed: Packed
  /** The modules of the bundle. */
  let bundled: readonly Readonly<{ file: string; path: string; text: string }>[]

  before(async () => {
    await buildPackage(built)
    bundled = globSync('bundle/*.js', { cwd: built }).flatMap((file) =>
      readFileSync(join(built, file), 'utf8').split(/^\/\/ (?=.*\.js$)/m).slice(1).map((text) => ({ file, path: text.slice(0, text.indexOf('\n')), text })))
    const { stdout } = await run('npm', ['pack', built, '--json', '--pack-destination', folder], { cwd: folder, maxBuffer: 2 ** 24 })
    packed = (JSON.parse(stdout) as Packed[])[0]!
    // As npm installs it from a registry: with the versions that the package says it was tested with.
    const from = `file:../${packed.filename}`
    const { packages } = JSON.parse(readFileSync(join(built, 'npm-shrinkwrap.json'), 'utf8')) as { packages: Record<string, object> }
    const { '': own, ...others } = packages
    mkdirSync(user)
    const dependencies = { modelroute: from }
    writeFileSync(join(user, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module', dependencies }))
    writeFileSync(join(user, 'package-lock.json'), JSON.stringify({
      name: 'user', lockfileVersion: 3, requires: true,
      packages: { '': { name: 'user', dependencies }, 'node_modules/modelroute': { ...own, resolved: from, integrity: packed.integrity }, ...others },
    }))
    await run('npm', ['ci', '--omit=dev', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'], { cwd: user })
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  /** Runs a command until it has said what is waited for; what it has said until then. */
  async function begun(t: TestContext, command: string, args: readonly string[], env: Record<string, string>, wanted: RegExp): Promise<string> {
    const child = spawn(command, args, { cwd: user, env: { ...clean, XDG_CACHE_HOME: join(folder, 'cache'), ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = once(child, 'exit')
    t.after(async () => {
      child.kill('SIGTERM')
      assert.deepEqual(await ended, [0, null])
    })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text))
    while (!wanted.test(said)) {
      assert.equal(child.exitCode, null, said)
      await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data'), ended])
    }
    return said
  }

  test('holds what was compiled, what that reads, and nothing else', (t) => {
    const paths = packed.files.map(({ path }) => path).sort()
    const others = paths.filter((path) => !/^(bundle|cli|console|controller|crds|dataplane|examples\/quickstart|exposition|outgoing|table)\/[\w./-]+\.js$/.test(path))
    const page = globSync('console/page/*.{css,html,svg}', { cwd: root })
    assert.deepEqual(others, [
      'CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', 'npm-shrinkwrap.json', ...page,
      'crds/modelroutes.modelroute.io.yaml', 'crds/ratelimitpolicies.modelroute.io.yaml',
      'dataplane/pipeline/errors.d.ts', 'dataplane/plugins/plugin.d.ts', 'examples/quickstart/route.yaml', 'examples/quickstart/services.yaml',
    ].sort())
    // What is compiled is what there is a source of, and no test and no generator among it.
    const made = [
      ...paths.filter((path) => path.endsWith('.js') && !/^(bundle|console\/page)\//.test(path) && path !== 'cli/modelroute.js'), ...bundled.map(({ path }) => path),
    ]
    // What is started by its path is bundled too, and there is one of everything: of a file that tells of a module in two places, one.
    assert.equal(new Set(bundled.map(({ file, path }) => `${file} ${path}`)).size, new Set(bundled.map(({ path }) => path)).size)
    assert.deepEqual(made.filter((path) => !path.startsWith('examples/') && !bundled.some((one) => one.path === path)), [])
    assert.deepEqual(made.filter((path) => !existsSync(join(root, path.replace(/\.js$/, '.ts'))) || /\.(test|e2e)\.|^crds\/generate/.test(path)), [])
    assert.deepEqual(packed.files.filter(({ mode }) => (mode & 0o111) !== 0).map(({ path }) => path), ['cli/modelroute.js'])
    t.diagnostic(`${paths.length} files, ${(packed.size / 1024).toFixed(0)} KiB packed, ${(packed.unpackedSize / 2 ** 20).toFixed(1)} MiB unpacked`)
  })

  test('has each thread that it starts', () => {
    const starts = bundled.flatMap(({ path, text }) =>
      [...text.matchAll(/new URL\([^;]*?[`"]\.\/(thread|worker)[^;]*place\$\d*\.url\)/g)].map((match) => join(dirname(path), `${match[1]}.js`)))
    assert.equal(starts.length, 3)
    for (const path of starts) assert.ok(existsSync(join(installed, path)), path)
  })

  test('says what is in it, as a release publishes it: all of what it brings, and nothing else', async () => {
    const brought = Object.keys((JSON.parse(readFileSync(join(built, 'npm-shrinkwrap.json'), 'utf8')) as { packages: object }).packages).filter((path) => path !== '')
    for (const [format, list] of [['cyclonedx', 'components'], ['spdx', 'packages']] as const) {
      const { stdout } = await run('npm', ['sbom', '--package-lock-only', `--sbom-format=${format}`], { cwd: built, maxBuffer: 2 ** 25 })
      const entries = (JSON.parse(stdout) as Record<string, { name: string }[]>)[list] ?? []
      const names = new Set(entries.map(({ name }) => name))
      for (const path of brought) assert.ok(names.has(path.split('node_modules/').at(-1) ?? ''), `${format}: ${path}`)
      assert.deepEqual(Object.keys(manifest.devDependencies).filter((name) => names.has(name) && !brought.includes(`node_modules/${name}`)), [])
    }
  })

  test('brings nothing of development', () => {
    const brought = readdirSync(join(user, 'node_modules'))
    assert.ok(brought.length > 100, brought.join())
    const needed = new Set(Object.keys(manifest.dependencies))
    // These the libraries bring for themselves, whatever tests use them for.
    const theirs = ['@grpc', '@types', 'protobufjs', 'ws']
    const tools = Object.keys(manifest.devDependencies).map((name) => name.split('/')[0] ?? name).filter((name) => !needed.has(name) && !theirs.includes(name))
    assert.deepEqual(tools.filter((name) => brought.includes(name)), [])
  })

  test('has both commands, which say what they are', async () => {
    assert.match((await run(bin('modelroute'), ['--help'], { env: clean })).stdout, /^  serve +one process/m)
    assert.equal((await run(bin('kubectl-modelroute'), ['--version'], { env: clean })).stdout, `${manifest.version}\n`)
    const faulty = join(user, 'faulty.yaml')
    writeFileSync(faulty, readFileSync(join(installed, 'examples/quickstart/route.yaml'), 'utf8').replace(/^( +)weight:/m, '$1wieght:'))
    await run(bin('modelroute'), ['check', '-f', join(installed, 'examples/quickstart')], { env: clean })
    await assert.rejects(run(bin('modelroute'), ['check', '-f', faulty], { env: clean }), { code: 1, stdout: /did you mean weight/ })
  })

  test('says so where Node is too old for it', async () => {
    const old = 'data:text/javascript,' + encodeURIComponent("Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.20.0' } })")
    await assert.rejects(run(process.execPath, ['--import', old, join(installed, 'cli/modelroute.js'), '--help'], { env: clean }), /needs Node\.js 24 or later; this is v/)
    assert.equal((JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as typeof manifest).engines.node, '>=24')
  })

  test('starts the quickstart, which answers, and shows its console', async (t) => {
    const [http, admin, control, first, second] = await freePorts(5) as [number, number, number, number, number]
    // Its model servers have ports of their own, which may be taken here.
    for (const file of ['services.yaml', 'server.js'].map((name) => join(installed, 'examples/quickstart', name))) {
      writeFileSync(file, readFileSync(file, 'utf8').replaceAll('18081', `${first}`).replaceAll('18082', `${second}`))
    }
    const env = { MODELROUTE_HTTP_PORT: `${http}`, MODELROUTE_ADMIN_PORT: `${admin}`, MODELROUTE_CONTROL_PORT: `${control}` }
    const said = await begun(t, bin('modelroute'), ['start'], env, /(curl .*\n){3}/)
    for (const line of said.split('\n').filter((each) => each.startsWith('curl '))) {
      assert.match(execFileSync('bash', ['-c', `${line} -sS`], { encoding: 'utf8' }), /"fraud"/)
    }
    const page = await fetch(`http://127.0.0.1:${admin}/console`)
    assert.match(await page.text(), /<!doctype html>/i)
  })

  test('serves routes with filters of one\'s own, which compile against its types', { timeout: 120_000 }, async (t) => {
    const plugins = join(user, 'plugins')
    mkdirSync(plugins)
    const source = `import type { Plugin } from 'modelroute/plugin'

export default {
  name: 'greeter',
  schema: { type: 'object', properties: { word: { type: 'string' } }, required: ['word'], additionalProperties: false },
  build: ({ config }) => (exchange) =>
    exchange.path.endsWith('/hello') ? { status: 200, body: config.word } : { code: 'forbidden', detail: 'only hello' },
} satisfies Plugin<{ word: string }>
`
    writeFileSync(join(plugins, 'greeter.ts'), source)
    writeFileSync(join(plugins, 'wrong.ts'), source.replace("code: 'forbidden'", "code: 'no such code'"))
    // The types of Node are the author's own dependency; here they are this repository's.
    mkdirSync(join(user, 'node_modules/@types'), { recursive: true })
    for (const name of ['@types/node', 'undici-types']) {
      rmSync(join(user, 'node_modules', name), { recursive: true, force: true })
      symlinkSync(join(root, 'node_modules', name), join(user, 'node_modules', name))
    }
    const tsc = (file: string) => run(process.execPath, [
      join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--types', 'node', join(plugins, file),
    ], { cwd: user })
    await tsc('greeter.ts')
    await assert.rejects(tsc('wrong.ts'), (error: { stdout?: string }) => /TS2322|TS1360|no such code/.test(error.stdout ?? ''))
    rmSync(join(plugins, 'wrong.ts'))
    writeFileSync(join(user, 'hello.yaml'), `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: hello, namespace: ml}
spec:
  rules:
  - name: hello
    plugins: [{name: greeter, config: {word: hello there}}]
    backendRefs: [{variant: stable, name: nobody, port: 8000}]
---
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: ml}
spec: {ports: [{port: 8000}]}
`)
    const said = await begun(t, bin('modelroute'), [
      'serve', '-f', 'hello.yaml', '--plugins', plugins, '--host', '127.0.0.1', '--http-port', '0', '--https-port', '0', '--admin-port', '0', '--control-port', '0',
    ], {}, /"name":"http","url":"[^"]+"/)
    const url = /"name":"http","url":"([^"]+)"/.exec(said)?.[1] ?? ''
    const answer = await fetch(`${url}/hello`)
    assert.deepEqual([answer.status, await answer.text()], [200, 'hello there'])
    assert.equal((await fetch(`${url}/bye`)).status, 403)
  })
})
