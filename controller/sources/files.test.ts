import assert from 'node:assert/strict'
import { appendFile, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { FileSource, type LocatedProblem, readManifests } from './files.ts'
import type { Snapshot } from './snapshot.ts'
import { inTime, watchMachine } from '../../test/machine.ts'

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'manifests-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

const route = (name: string, weight = 1) => `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: ${name}}
spec:
  rules:
  - name: infer
    backendRefs:
    - {variant: stable, name: fraud, port: 8000, weight: ${weight}}
`

const service = (name: string, port: number | string = 8000) => `apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {ports: [{port: ${port}}]}
`

const slice = (name: string, of: string, address = '127.0.0.1') => `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}, labels: {kubernetes.io/service-name: ${of}}}
addressType: IPv4
ports: [{port: 18081}]
endpoints: [{addresses: [${address}]}]
`

const file = (...documents: string[]) => documents.join('---\n')

const weightOf = (snapshot: Snapshot | undefined, name: string) =>
  snapshot?.modelRoutes.get(`default/${name}`)?.object?.spec.rules?.[0]?.backendRefs?.[0]?.weight

const brief = ({ file, line, kind, name, field, reason }: LocatedProblem) =>
  `${file.split('/').at(-1)}:${line} ${kind}/${name} ${field} ${reason}`

async function readText(t: TestContext, text: string, name = 'a.yaml') {
  const path = join(await folder(t), name)
  await writeFile(path, text)
  return readManifests([path])
}

describe('manifests from files', () => {
  it('become a snapshot, Lists unfolded, other kinds passed over', async (t) => {
    const list = `apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: fraud, namespace: ml}, spec: {ports: [{port: 80, name: http}]}}
- {apiVersion: v1, kind: Secret, metadata: {name: key}, stringData: {key: abc}}
- apiVersion: v1
  kind: ServiceList
  items: [{metadata: {name: inner}, spec: {ports: [{port: 81}]}}]
`
    const other = 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n'
    const grant = `apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: ml}
spec: {from: [{group: modelroute.io, kind: ModelRoute, namespace: web}], to: [{group: '', kind: Service}]}
`
    const inference = `apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: i}
spec: {predictor: {model: {}}}
status: {url: http://x, conditions: [{type: Ready, status: 'True'}]}
`
    const slices = [slice('b', 'fraud'), slice('a', 'fraud')]
    const text = file(route('fraud'), list, other, ...slices, grant, inference, '', '# c\n')
    const { snapshot, problems } = await readText(t, text)
    assert.deepEqual(problems, [])
    assert.deepEqual([...snapshot.modelRoutes.keys()], ['default/fraud'])
    assert.deepEqual([...snapshot.services.keys()], ['ml/fraud', 'default/inner'])
    assert.deepEqual(snapshot.endpointSlices.get('default/fraud')?.map(({ metadata }) => metadata.name), ['a', 'b'])
    assert.deepEqual([...snapshot.referenceGrants.keys()], ['ml/g'])
    assert.equal(snapshot.inferenceServices.get('default/i')?.status?.url, 'http://x')
  })

  it('an empty file is no objects', async (t) => {
    for (const text of ['', '\n', '# nothing\n', '---\n---\n', '\ufeff']) {
      const { snapshot, problems } = await readText(t, text)
      assert.deepEqual([problems, snapshot.modelRoutes.size], [[], 0])
    }
  })

  it('JSON and byte order marks are fine, UTF-16 is named', async (t) => {
    const json = JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'j' }, spec: {} }, null, '\t')
    assert.equal((await readText(t, `\ufeff${json}${json.replace('"j"', '"k"')}`, 'a.json')).snapshot.services.size, 2)
    const path = join(await folder(t), 'wide.yaml')
    await writeFile(path, Buffer.from('\ufeffa: 1', 'utf16le'))
    assert.match((await readManifests([path])).problems[0]?.message ?? '', /UTF-16 text; save it as UTF-8/)
    await writeFile(path, Buffer.from([0x61, 0xff]))
    assert.match((await readManifests([path])).problems[0]?.message ?? '', /not UTF-8/)
  })

  it('a folder that has only folders says that those are not read', async (t) => {
    const path = await folder(t)
    const told = async () => (await readManifests([path])).problems.map(({ message }) => message)
    assert.deepEqual(await told(), ['no .yaml, .yml or .json file in this folder'])
    await mkdir(join(path, 'overlays'))
    assert.deepEqual(await told(), ['no .yaml, .yml or .json file in this folder, and those below it are not read: give each by its own -f'])
  })

  it('a folder is read by its extensions, not recursively, and in order', async (t) => {
    const path = await folder(t)
    await mkdir(join(path, 'sub.yaml'))
    await writeFile(join(path, 'b.yml'), route('b'))
    await writeFile(join(path, 'a.yaml'), file(route('z'), route('a')))
    const json = { apiVersion: 'v1', kind: 'Service', metadata: { name: 's' } }
    await writeFile(join(path, 'c.json'), JSON.stringify(json))
    await writeFile(join(path, 'notes.txt'), 'a: [')
    await writeFile(join(path, '.hidden.yaml'), 'a: [')
    await symlink('nobody@nowhere', join(path, 'lock.yaml'))
    const { snapshot, problems } = await readManifests([path])
    assert.deepEqual(problems, [])
    assert.equal(snapshot.services.size, 1)
    const byAge = [...snapshot.modelRoutes.values()].toSorted((x, y) => (x.created < y.created ? -1 : 1))
    assert.deepEqual(byAge.map(({ name }) => name), ['z', 'a', 'b'])
  })

  it('ages come from the order of the paths, then of the documents', async (t) => {
    const path = await folder(t)
    await writeFile(join(path, 'a.yaml'), route('a'))
    const twelve = Array.from({ length: 12 }, (_, n) => route(`b${n}`))
    await writeFile(join(path, 'b.yaml'), file(...twelve))
    const { snapshot } = await readManifests([join(path, 'b.yaml'), path])
    const byAge = [...snapshot.modelRoutes.values()].toSorted((x, y) => (x.created < y.created ? -1 : 1))
    assert.deepEqual(byAge.map(({ name }) => name), [...twelve.keys()].map((n) => `b${n}`).concat('a'))
  })

  it('the generation is a hash of the spec, whatever the order of its keys', async (t) => {
    const read = async (text: string) => (await readText(t, text)).snapshot.modelRoutes.get('default/r')
    const generation = async (text: string) => (await read(text))?.generation
    const first = await generation(route('r'))
    assert.ok(Number.isSafeInteger(first) && (first ?? 0) > 0)
    assert.equal(await generation(`# comment\n${route('r')}`), first)
    const swapped = route('r').replace('{variant: stable, name: fraud', '{name: fraud, variant: stable')
    assert.equal(await generation(swapped), first)
    assert.notEqual(await generation(route('r', 2)), first)
  })

  it('a null field is an absent one, and a status says nothing', async (t) => {
    const text = route('r').replace('spec:', 'status: {nonsense: 1}\nspec:\n  hostnames:\n  tls: ~')
    const resource = (await readText(t, text)).snapshot.modelRoutes.get('default/r')
    assert.deepEqual(resource?.problems, [])
    assert.deepEqual(Object.keys(resource.object ?? {}), ['apiVersion', 'kind', 'metadata', 'spec'])
  })

  it('what does not satisfy its schema keeps its name and says where', async (t) => {
    const text = file(service('s'), route('r').replace('weight', 'weigth'))
    const { snapshot, problems, locate } = await readText(t, text)
    assert.deepEqual(problems, [])
    const resource = snapshot.modelRoutes.get('default/r')
    assert.equal(resource?.object, undefined)
    const field = resource?.problems[0]?.field ?? ''
    assert.equal(field, 'spec.rules[0].backendRefs[0].weigth')
    assert.equal(locate('ModelRoute', 'default', 'r', field)?.line, 13)
    assert.equal(locate('ModelRoute', 'default', 'r', 'spec.rules[0].timeouts.request')?.line, 11)
    assert.equal(locate('ModelRoute', 'default', 'r', '')?.line, 6)
    assert.equal(locate('ModelRoute', 'default', 'nobody', ''), undefined)
  })

  it('a field is found through Lists, aliases and merges', async (t) => {
    const text = `x: 1
---
kind: List
apiVersion: v1
items:
- apiVersion: modelroute.io/v1alpha1
  kind: ModelRoute
  metadata: {name: r}
  spec:
    rules:
    - name: a
      timeouts: &t
        request: 1s
      backendRefs: [{variant: stable, name: fraud, port: 8000}]
    - name: b
      timeouts:
        <<: *t
        connect: 1s
      backendRefs: [{variant: stable, name: fraud, port: 8000}]
`
    const { locate } = await readText(t, text)
    assert.equal(locate('ModelRoute', 'default', 'r', 'spec.rules[1].timeouts.request')?.line, 13)
    assert.equal(locate('ModelRoute', 'default', 'r', 'spec.rules[1].timeouts.connect')?.line, 18)
    assert.equal(locate('ModelRoute', 'default', 'r', 'spec.rules[1]')?.line, 15)
  })

  it('problems carry file and line, and spare the other documents', async (t) => {
    const text = file(
      route('r'),
      'a: [\n',
      'just text\n',
      'kind: ModelRoute\nmetadata: {name: x}\n',
      'apiVersion: modelroute.io/v1\nkind: ModelRoute\nmetadata: {name: x}\n',
      'apiVersion: modelroute.io/v1alpha1\nkind: Modelroute\nmetadata: {name: x}\n',
      'apiVersion: v1\nkind: ModelRoute\nmetadata: {name: x}\n',
      'apiVersion: v1\nkind: Servce\nmetadata: {name: x}\n',
      'apiVersion: modelroute.io/v1alpha1\nkind: ModelRoute\nmetadata: {namespace: x}\n',
      'apiVersion: modelroute.io/v1alpha1\nkind: ModelRoute\nmetadata: {name: No_Name}\n',
      'apiVersion: v1\nkind: Service\nmetadata: {name: 12}\n',
      service('bad', 'http'),
      'apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: lone}\naddressType: IPv4\n',
      service('good'),
    )
    const { snapshot, problems } = await readText(t, text)
    assert.deepEqual([...snapshot.modelRoutes.keys(), ...snapshot.services.keys()], ['default/r', 'default/good'])
    assert.deepEqual(problems.map(brief), [
      'a.yaml:10 /  Syntax',
      'a.yaml:12 /  Invalid',
      'a.yaml:14 ModelRoute/x apiVersion Invalid',
      'a.yaml:17 ModelRoute/x apiVersion UnknownKind',
      'a.yaml:22 Modelroute/x kind UnknownKind',
      'a.yaml:25 ModelRoute/x apiVersion UnknownKind',
      'a.yaml:30 Servce/x kind UnknownKind',
      'a.yaml:35 ModelRoute/ metadata.name Invalid',
      'a.yaml:39 ModelRoute/No_Name metadata.name Invalid',
      'a.yaml:43 Service/ metadata.name Invalid',
      'a.yaml:48 Service/bad spec.ports[0].port Invalid',
      'a.yaml:50 EndpointSlice/lone  Invalid',
    ])
    assert.deepEqual(problems.filter(({ severity }) => severity === 'warning').map(({ name }) => name), ['x', 'lone'])
    assert.match(problems[4]?.message ?? '', /did you mean ModelRoute\?/)
    assert.match(problems[3]?.message ?? '', /modelroute\.io\/v1alpha1/)
  })

  it('of two with one name the first holds, and both places are named', async (t) => {
    const path = await folder(t)
    await writeFile(join(path, 'a.yaml'), file(service('s'), route('r', 1)))
    await writeFile(join(path, 'b.yaml'), file('# c\n', route('r', 2)))
    const { snapshot, problems } = await readManifests([path])
    assert.equal(weightOf(snapshot, 'r'), 1)
    assert.deepEqual(problems.map(brief), ['b.yaml:3 ModelRoute/r  Conflicted'])
    assert.match(problems[0]?.message ?? '', /a\.yaml:6/)
  })

  it('a path that is not there is a problem; the same file twice is one', async (t) => {
    const path = join(await folder(t), 'a.yaml')
    await writeFile(path, route('r'))
    const { snapshot, problems } = await readManifests([path, `${path}x`, path])
    assert.equal(snapshot.modelRoutes.size, 1)
    assert.deepEqual(problems.map(brief), ['a.yamlx:0 /  Unreadable'])
  })

  it('stdin is read once', async () => {
    const { snapshot } = await readManifests(['-'], (async function* () { yield route('r') })())
    assert.equal(snapshot.modelRoutes.size, 1)
  })
})

/** A source over a folder, and the snapshots that it sent. */
async function watched(t: TestContext, paths: readonly string[]) {
  const source = new FileSource({ paths, watch: true })
  const snapshots: Snapshot[] = []
  const logged: string[] = []
  source.onProblems((_, fresh) => logged.push(...fresh.map(brief)))
  t.after(() => source.stop())
  await source.start((snapshot) => snapshots.push(snapshot))
  const latest = () => snapshots.at(-1)
  /** Milliseconds until it held. */
  const until = async (what: string, holds: () => boolean) => {
    const began = performance.now()
    while (!holds()) {
      if (performance.now() - began > 60_000) assert.fail(`never: ${what}`)
      await sleep(2)
    }
    return performance.now() - began
  }
  let marks = 0
  /** Waits until a whole scan has seen what is in the folder now: one that began after its last change. */
  const looked = async (path: string) => {
    const name = `seen-${++marks}`
    await writeFile(join(path, 'seen.yaml'), service(name))
    await until(`a look at ${path}`, () => latest()?.services.has(`default/${name}`) === true)
  }
  return { source, snapshots, logged, latest, until, looked }
}

describe('manifests that are watched', () => {
  it('an edit is out within 300 ms, and what did not change keeps its identity', async (t) => {
    const path = await folder(t)
    await writeFile(join(path, 'a.yaml'), file(route('a', 1), route('b', 1), service('s')))
    const { latest, until } = await watched(t, [path])
    const before = latest()
    const times: number[] = []
    const machine = watchMachine()
    for (let weight = 2; weight < 12; weight++) {
      await writeFile(join(path, 'a.yaml'), file(route('a', weight), route('b', 1), service('s')))
      times.push(await until('the edit', () => weightOf(latest(), 'a') === weight))
    }
    const after = latest()
    assert.equal(after?.modelRoutes.get('default/b'), before?.modelRoutes.get('default/b'))
    assert.equal(after?.services, before?.services)
    const median = times.toSorted((a, b) => a - b)[5] ?? Infinity
    inTime(t, 'an edit (median)', median, 300, machine())
  })

  it('an edit of comments or layout only sends nothing', async (t) => {
    const path = await folder(t)
    await writeFile(join(path, 'a.yaml'), route('a', 1))
    const { snapshots, latest, until } = await watched(t, [path])
    await writeFile(join(path, 'a.yaml'), `# more\n${route('a', 1)}\n`)
    await writeFile(join(path, 'b.yaml'), route('b', 1))
    await until('the other file', () => latest()?.modelRoutes.has('default/b') === true)
    await writeFile(join(path, 'a.yaml'), `# even more\n${route('a', 1)}\n`)
    await writeFile(join(path, 'b.yaml'), route('b', 2))
    await until('the other edit', () => weightOf(latest(), 'b') === 2)
    const routes = snapshots.map(({ modelRoutes }) => modelRoutes.get('default/a'))
    assert.equal(new Set(routes).size, 1)
  })

  it('an editor that swaps files by renaming', async (t) => {
    const path = await folder(t)
    await writeFile(join(path, 'a.yaml'), file(route('a', 1), route('b', 1)))
    const { snapshots, latest, until } = await watched(t, [path])
    await rename(join(path, 'a.yaml'), join(path, 'a.yaml~'))
    await writeFile(join(path, 'a.yaml'), file(route('a', 2), route('b', 1)))
    await until('the swap', () => weightOf(latest(), 'a') === 2)
    await writeFile(join(path, '.a.yaml.tmp'), file(route('a', 3), route('b', 1)))
    await rename(join(path, '.a.yaml.tmp'), join(path, 'a.yaml'))
    await until('the atomic replacement', () => weightOf(latest(), 'a') === 3)
    assert.ok(snapshots.every(({ modelRoutes }) => modelRoutes.size === 2))
  })

  it('a single file that was named, edited in place and replaced', async (t) => {
    const path = join(await folder(t), 'a.yaml')
    await writeFile(path, route('a', 1))
    const { latest, until } = await watched(t, [path])
    await writeFile(path, route('a', 2))
    await until('the edit', () => weightOf(latest(), 'a') === 2)
    await writeFile(`${path}.new`, route('a', 3))
    await rename(`${path}.new`, path)
    await until('the replacement', () => weightOf(latest(), 'a') === 3)
    await writeFile(path, route('a', 4))
    await until('an edit of the replacement', () => weightOf(latest(), 'a') === 4)
  })

  it('a ConfigMap, whose link ..data is swapped', async (t) => {
    const path = await folder(t)
    const version = async (n: number) => {
      await mkdir(join(path, `..v${n}`))
      await writeFile(join(path, `..v${n}`, 'a.yaml'), route('a', n))
      await symlink(`..v${n}`, join(path, '..data_tmp'))
      await rename(join(path, '..data_tmp'), join(path, '..data'))
    }
    await version(1)
    await symlink('..data/a.yaml', join(path, 'a.yaml'))
    const whole = await watched(t, [path])
    const single = await watched(t, [join(path, 'a.yaml')])
    for (const n of [2, 3]) {
      await version(n)
      await rm(join(path, `..v${n - 1}`), { recursive: true })
      await whole.until('the swap, seen from the folder', () => weightOf(whole.latest(), 'a') === n)
      await single.until('the swap, seen from the file', () => weightOf(single.latest(), 'a') === n)
    }
    assert.ok([...whole.snapshots, ...single.snapshots].every(({ modelRoutes }) => modelRoutes.size === 1))
  })

  it('a file that appears and vanishes', async (t) => {
    const path = await folder(t)
    await writeFile(join(path, 'a.yaml'), route('a'))
    const { latest, until } = await watched(t, [path])
    const created = latest()?.modelRoutes.get('default/a')?.created
    await writeFile(join(path, '0.yaml'), route('b'))
    await until('the new file', () => latest()?.modelRoutes.has('default/b') === true)
    assert.equal(latest()?.modelRoutes.get('default/a')?.created, created)
    await rm(join(path, '0.yaml'))
    await until('its end', () => latest()?.modelRoutes.has('default/b') === false)
  })

  it('a folder that vanishes keeps its objects in force until it returns', async (t) => {
    const path = join(await folder(t), 'manifests')
    await mkdir(path)
    await writeFile(join(path, 'a.yaml'), route('a', 1))
    const { source, snapshots, logged, latest, until } = await watched(t, [path])
    await rm(path, { recursive: true })
    await until('the problem', () => source.problems().length > 0)
    assert.match(source.problems()[0]?.message ?? '', /no such file or folder; what it held stays in force/)
    await mkdir(path)
    await writeFile(join(path, 'a.yaml'), route('a', 2))
    await until('the return', () => weightOf(latest(), 'a') === 2)
    await until('the problem gone', () => source.problems().length === 0)
    await writeFile(join(path, 'a.yaml'), route('a', 3))
    await until('an edit after the return', () => weightOf(latest(), 'a') === 3)
    assert.ok(snapshots.every(({ modelRoutes }) => modelRoutes.size === 1))
    assert.deepEqual(logged.slice(0, 1), ['manifests:0 /  Unreadable'])
  })

  it('a file that stops parsing keeps what it held; its other documents are updated', async (t) => {
    const path = join(await folder(t), 'a.yaml')
    await writeFile(path, file(route('a', 1), route('b', 1), service('s')))
    const { source, logged, latest, until } = await watched(t, [path])
    await writeFile(path, file(route('a', 2), `${route('b', 2)}  oops: [\n`))
    await until('the good document', () => weightOf(latest(), 'a') === 2)
    assert.equal(weightOf(latest(), 'b'), 1)
    assert.equal(latest()?.services.size, 1)
    assert.equal(source.problems().length, 1)
    await appendFile(path, '# still wrong\n')
    await writeFile(path, file(route('a', 3), `${route('b', 2)}  oops: [\n`))
    await until('the next edit', () => weightOf(latest(), 'a') === 3)
    assert.deepEqual(logged, ['a.yaml:18 /  Syntax'], 'logged once')
    await writeFile(path, file(route('a', 3), route('b', 2)))
    await until('the repair', () => weightOf(latest(), 'b') === 2)
    assert.equal(latest()?.services.size, 0)
    assert.deepEqual(source.problems(), [])
  })

  it('a foreign object that becomes invalid keeps its last good shape', async (t) => {
    const path = join(await folder(t), 'a.yaml')
    await writeFile(path, file(service('s', 80), route('a', 1)))
    const { source, latest, until } = await watched(t, [path])
    await writeFile(path, file(service('s', 'http'), route('a', 2)))
    await until('the edit', () => weightOf(latest(), 'a') === 2)
    assert.equal(latest()?.services.get('default/s')?.spec.ports?.[0]?.port, 80)
    assert.deepEqual(source.problems().map(brief), ['a.yaml:4 Service/s spec.ports[0].port Invalid'])
  })

  it('a file cut anywhere while it is written loses no object', async (t) => {
    const path = await folder(t)
    const whole = file(route('a', 1), service('s'), route('b', 1))
    // Cut within the last document: before that, what is left may be a whole file of fewer documents.
    const last = whole.lastIndexOf('---')
    await writeFile(join(path, 'a.yaml'), whole)
    const { snapshots, looked } = await watched(t, [path])
    for (let at = last + 20; at < whole.length; at += 23) {
      await writeFile(join(path, 'a.yaml'), whole.slice(0, at))
      await looked(path)
    }
    for (const { modelRoutes, services } of snapshots) {
      const keys = [...modelRoutes.keys(), ...services.keys()].filter((key) => !key.includes('seen'))
      assert.deepEqual(keys.toSorted(), ['default/a', 'default/b', 'default/s'])
    }
  })

  it('a file that a shell has emptied and not yet filled loses no object', async (t) => {
    const path = await folder(t)
    await writeFile(join(path, 'a.yaml'), route('a', 1))
    const { snapshots, latest, until, looked } = await watched(t, [path])
    await writeFile(join(path, 'a.yaml'), '')
    await looked(path)
    await writeFile(join(path, 'a.yaml'), route('a', 2))
    await until('the new text', () => weightOf(latest(), 'a') === 2)
    assert.ok(snapshots.every(({ modelRoutes }) => modelRoutes.size === 1))
    await writeFile(join(path, 'a.yaml'), '')
    await until('that it stays empty', () => latest()?.modelRoutes.size === 0)
  })

  it('an object that moves to another file while its own is broken', async (t) => {
    const path = await folder(t)
    await writeFile(join(path, 'a.yaml'), file(route('a', 1), service('s')))
    const { source, latest, until } = await watched(t, [path])
    await writeFile(join(path, 'b.yaml'), route('a', 2))
    await writeFile(join(path, 'a.yaml'), file('a: [\n', service('s')))
    await until('the move', () => weightOf(latest(), 'a') === 2)
    assert.deepEqual(source.problems().map(brief), ['a.yaml:1 /  Syntax'])
  })

  it('does not start over a path that does not exist', async (t) => {
    const source = new FileSource({ paths: [join(await folder(t), 'nope.yaml')], watch: true })
    await assert.rejects(source.start(() => assert.fail('half a world')), /nope\.yaml: no such file or folder/)
  })

  it('says nothing after it is stopped', async (t) => {
    const path = await folder(t)
    await writeFile(join(path, 'a.yaml'), route('a', 1))
    const { source, snapshots } = await watched(t, [path])
    const witness = await watched(t, [path])
    const writing = writeFile(join(path, 'a.yaml'), route('a', 2))
    await source.stop()
    const sent = snapshots.length
    await writing
    await witness.until('the edit, elsewhere', () => weightOf(witness.latest(), 'a') === 2)
    assert.equal(snapshots.length, sent)
  })
})
