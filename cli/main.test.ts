import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import manifest from '../package.json' with { type: 'json' }

const bin = fileURLToPath(new URL('./modelroute.js', import.meta.url))

/** Makes a Node believe that it is too old. */
const old = ['--import', 'data:text/javascript,' + encodeURIComponent(
  "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })",
)]

const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MODELROUTE_')))

function launch(words: readonly string[], { node = [] as string[], env = {}, cwd = tmpdir() } = {}) {
  const child = spawn(process.execPath, [...node, bin, ...words], { cwd, env: { ...clean, ...env } })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }))
  return { child, ended, stdout: () => stdout, stderr: () => stderr }
}

async function run(words: readonly string[], options: Parameters<typeof launch>[1] & { stdin?: string } = {}) {
  const { child, ended } = launch(words, options)
  child.stdin.end(options.stdin ?? '')
  return ended
}

async function folder(t: TestContext, files: Readonly<Record<string, string>> = {}): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cli-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text)
  return path
}

const good = `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: ml}
spec:
  rules:
  - name: infer
    backendRefs:
    - {variant: stable, name: fraud, port: 8000}
---
apiVersion: v1
kind: Service
metadata: {name: fraud, namespace: ml}
spec: {ports: [{port: 8000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: fraud, namespace: ml, labels: {kubernetes.io/service-name: fraud}}
addressType: IPv4
ports: [{port: 18081}]
endpoints: [{addresses: [127.0.0.1]}]
`

const bad = `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: typo, namespace: ml}
spec:
  rules:
  - name: infer
    weigth: 5
    backendRefs:
    - {variant: stable, name: fraud, port: 8000}
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: lost, namespace: ml}
spec:
  rules:
  - name: infer
    matches: [{method: GET}]
    backendRefs:
    - variant: stable
      name: nobody
      port: 8000
---
a: [1
`

describe('modelroute', { concurrency: 2 }, () => {
  it('without a command explains itself and exits 2', async () => {
    const { code, stdout, stderr } = await run([])
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /Usage: modelroute COMMAND/)
  })

  it('--help and --version answer on stdout and exit 0', async () => {
    const [help, command, topic, version] = await Promise.all(
      [['--help'], ['check', '--help'], ['help', 'check'], ['--version']].map((words) => run(words)),
    )
    assert.match(help?.stdout ?? '', /^ {2}serve /m)
    assert.match(command?.stdout ?? '', /Usage: modelroute check -f PATH/)
    assert.equal(topic?.stdout, command?.stdout)
    assert.equal(version?.stdout, `${manifest.version}\n`)
    assert.deepEqual([help, command, topic, version].map((result) => result?.code), [0, 0, 0, 0])
  })

  it('an unknown command or flag exits 2 and suggests', async () => {
    const { code, stderr } = await run(['chekc'])
    const message = 'modelroute: unknown command chekc; did you mean check? (modelroute --help)\n'
    assert.deepEqual([code, stderr], [2, message])
    const flag = await run(['check', '--filname', 'x'])
    assert.equal(flag.code, 2)
    assert.match(flag.stderr, /did you mean --filename\?/)
    assert.match((await run(['check', '--file', 'x'])).stderr, /did you mean --filename\?/)
  })
})

describe('modelroute check', { concurrency: 2 }, () => {
  it('is silent on stdout and exits 0 when all is well', async (t) => {
    const cwd = await folder(t, { 'good.yaml': good })
    const { code, stdout, stderr } = await run(['check', '-f', '.'], { cwd })
    assert.deepEqual([code, stdout, stderr], [0, '', '3 objects: 0 errors, 0 warnings\n'])
  })

  it('prints a line a problem, with file, line, object, field and reason, and exits 1', async (t) => {
    const cwd = await folder(t, { 'bad.yaml': bad, 'good.yaml': good })
    const paths = ['-f', 'bad.yaml', '-f', 'good.yaml', '-f', 'gone.yaml']
    const { code, stdout, stderr } = await run(['check', ...paths], { cwd })
    const lines = stdout.trimEnd().split('\n')
    const expected = [
      /^bad\.yaml:7 ModelRoute\/ml\/typo spec\.rules\[0\]\.weigth Invalid: unknown field/,
      /^bad\.yaml:19 ModelRoute\/ml\/lost spec\.rules\[0\]\.backendRefs\[0\] BackendNotFound: /,
      /^bad\.yaml:23 -\/-\/- - Syntax: /,
      /^gone\.yaml:- -\/-\/- - Unreadable: no such file or folder$/,
    ]
    for (const pattern of expected) assert.match(lines.shift() ?? '', pattern)
    assert.deepEqual(lines, [])
    assert.deepEqual([code, stderr], [1, '5 objects: 4 errors, 0 warnings\n'])
  })

  it('-o json prints the same as an array', async (t) => {
    const cwd = await folder(t, { 'bad.yaml': bad, 'good.yaml': good })
    const { code, stdout } = await run(['check', '-f', '.', '-o', 'json'], { cwd })
    const rows = JSON.parse(stdout) as Record<string, unknown>[]
    const fields = ['file', 'line', 'kind', 'namespace', 'name', 'field', 'reason', 'message', 'severity']
    assert.deepEqual(Object.keys(rows[0] ?? {}).toSorted(), fields.toSorted())
    assert.deepEqual(rows.map(({ file, line, reason }) => [file, line, reason]), [
      ['bad.yaml', 7, 'Invalid'],
      ['bad.yaml', 19, 'BackendNotFound'],
      ['bad.yaml', 23, 'Syntax'],
    ])
    assert.equal(code, 1)
  })

  it('reads stdin, and warnings alone exit 0', async () => {
    const { code, stdout, stderr } = await run(['check', '-f', '-'], { stdin: 'apiVersion: v1\nkind: Sevice\n' })
    assert.equal(stdout, 'stdin:2 Sevice/-/- kind UnknownKind: warning: v1 Sevice is not read; did you mean Service?\n')
    assert.deepEqual([code, stderr], [0, '0 objects: 0 errors, 1 warning\n'])
  })

  it('prints nothing that a terminal would obey', async () => {
    const kind = '"\\e[31mModelRoute\\n"'
    const stdin = `apiVersion: modelroute.io/v1alpha1\nkind: ${kind}\nmetadata: {name: "a\\u202e\\r\\nb:1"}\n`
    const { stdout } = await run(['check', '-f', '-'], { stdin })
    assert.equal(stdout.trimEnd().split('\n').length, 1)
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(stdout, /[\0-\x09\x0b-\x1f\x7f]/)
  })

  it('a URL backend needs its host allowed', async () => {
    const stdin = good.replace('name: fraud, port: 8000', 'kind: URL, url: "https://models.example.com"')
    const refused = await run(['check', '-f', '-'], { stdin })
    assert.match(refused.stdout, /^stdin:8 .* UnsupportedValue: .*--allow-url models\.example\.com/)
    assert.equal((await run(['check', '-f', '-', '--allow-url', 'models.example.com'], { stdin })).code, 0)
    const env = { MODELROUTE_ALLOW_URL: 'a,models.example.com' }
    assert.equal((await run(['check', '-f', '-'], { stdin, env })).code, 0)
  })
})

describe('modelroute as a process', () => {
  async function serving(t: TestContext, node: string[]) {
    const cwd = await folder(t, { 'good.yaml': good })
    const ports = ['--http-port', '0', '--admin-port', '0', '--control-port', '0', '--host', '127.0.0.1']
    const started = launch(['serve', '-f', cwd, ...ports], { node })
    t.after(() => started.child.kill('SIGKILL'))
    const url = await new Promise<string>((resolve, reject) => {
      started.child.stdout.on('data', () => {
        const line = started.stdout().split('\n').find((each) => each.includes('"name":"http"'))
        if (line !== undefined) resolve((JSON.parse(line) as { url: string }).url)
      })
      void started.ended.then(({ stderr }) => reject(new Error(`ended: ${stderr}`)))
    })
    return { ...started, url }
  }

  for (const [name, node] of [['on this Node', []], ['handed to a newer Node', old]] as const) {
    it(`${name}: SIGTERM ends it in good order, with 0`, { timeout: 120_000 }, async (t) => {
      const { child, ended, url } = await serving(t, [...node])
      await fetch(url)
      child.kill('SIGTERM')
      const { code, stderr } = await ended
      assert.deepEqual([code, stderr], [0, ''])
      await assert.rejects(fetch(url), 'nothing listens any more')
    })
  }

  it('a newer Node gets the words, the streams and the exit code', async () => {
    const { code, stdout } = await run(['check', '-f', '-', '-o', 'json'], { node: old, stdin: 'a: [' })
    assert.equal(code, 1)
    assert.equal((JSON.parse(stdout) as unknown[]).length, 1)
  })

  it('a path that is not there ends serve with 1 and one line', async () => {
    const ports = ['--http-port', '0', '--admin-port', '0', '--control-port', '0', '--host', '127.0.0.1']
    const { code, stderr } = await run(['serve', '-f', '/nowhere/at/all', ...ports])
    assert.deepEqual([code, stderr], [1, 'modelroute: /nowhere/at/all: no such file or folder\n'])
  })

  it('a port that is taken is named with the flag that chooses another', async (t) => {
    const cwd = await folder(t, { 'good.yaml': good })
    const other = createServer().listen(0, '127.0.0.1')
    t.after(() => other.close())
    await once(other, 'listening')
    const bound = other.address()
    const taken = String(typeof bound === 'object' ? bound?.port : '')
    for (const flag of ['--http-port', '--admin-port', '--control-port', '--health-port']) {
      const ports = Object.entries({ '--http-port': '0', '--admin-port': '0', '--control-port': '0', [flag]: taken }).flat()
      const { code, stderr } = await run(['serve', '-f', cwd, '--host', '127.0.0.1', ...ports])
      assert.deepEqual([code, stderr], [1, `modelroute: port ${taken} on 127.0.0.1 is taken (EADDRINUSE): stop what listens there, or give another by ${flag}; 0 takes a free one\n`])
    }
    const { code, stderr } = await run(['controller', '-f', cwd, '--push-port', taken, '--control-port', '0'])
    assert.deepEqual([code, stderr.includes('give another by --push-port;')], [1, true])
  })
})
