// The chart, as Helm renders it and as a real API server takes it.
//
//   UPDATE_GOLDEN=1 node test/cluster/run.ts test/cluster/chart.e2e.ts      # after a change that was meant
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'
import { type Command, commands } from '../../cli/commands.ts'
import { readOptions } from '../../cli/options.ts'
import { cannotRun } from './build.ts'
import { refusals } from './chart/accept.ts'
import { writeSchemas } from './chart/schemas.ts'
import { chartTools, type ChartTools } from './chart/tools.ts'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { until } from './wait.ts'

const chart = join(import.meta.dirname, '../../charts/modelroute')
const cases = join(import.meta.dirname, '../chart')
const names = globSync('*.values.yaml', { cwd: cases }).map((file) => basename(file, '.values.yaml')).sort()
const run = promisify(execFile)

type Container = Readonly<{ name: string, command: string[], args: string[], resources?: { limits?: Record<string, string> } }>
type PodSpec = Readonly<{ containers: Container[], terminationGracePeriodSeconds?: number }>
type Manifest = Readonly<{
  apiVersion: string
  kind: string
  metadata: { name: string, namespace?: string, labels: Record<string, string> }
  spec: PodSpec & { template: { metadata: object, spec: PodSpec } }
}>

/** What kube-score calls critical and somebody chose: no policy at all, and users that OpenShift picks. */
const chosen: Readonly<Record<string, string>> = {
  plain: 'pod-networkpolicy', openshift: 'container-security-context-user-group-id',
}

suite('the chart', { skip: await cannotRun() }, () => {
  let cluster: ControlPlane
  let tools: ChartTools
  let folder: string
  const rendered = new Map<string, string>()
  const parsed = new Map<string, readonly Manifest[]>()
  const render = (name: string, ...args: string[]) =>
    cluster.helm('template', 'modelroute', chart, '--namespace', 'gateway', '-f', join(cases, `${name}.values.yaml`), ...args)
  const objects = (yaml: string) =>
    parseAllDocuments(yaml).map((document) => document.toJS() as Manifest | null).filter((object) => object !== null)
  /** What is installed with the values of a case. */
  const of = (name: string) => parsed.get(name) ?? assert.fail(`${name} was not rendered`)
  const workloads = (name: string) => of(name).filter(({ kind }) => kind === 'Deployment')
  /** That of `helm test` too. */
  const containers = (name: string) => of(name).flatMap(({ kind, spec }) => kind === 'Deployment' ? spec.template.spec.containers : kind === 'Pod' ? spec.containers : [])
  const ours = (name: string) => containers(name).filter(({ command }) => command[0] === 'modelroute')

  before(async () => {
    [cluster, tools] = await Promise.all([startControlPlane(), chartTools()])
    folder = join(cluster.folder, 'rendered')
    mkdirSync(folder)
    await cluster.apply([
      {
        apiVersion: 'v1', kind: 'Namespace',
        metadata: { name: 'gateway', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
      },
      ...['ml', 'team-a'].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
      kindOf('routes', 'Route', 'route.openshift.io'),
    ])
    await cluster.apply(tools.definitions.join('\n---\n'))
    await cluster.kubectl('wait', '--for=condition=Established', 'crd', '--all')
    for (const name of names) {
      const yaml = await render(name)
      rendered.set(name, yaml)
      parsed.set(name, objects(yaml))
      writeFileSync(join(folder, `${name}.yaml`), yaml)
    }
  })
  after(() => cluster?.stop())

  test('passes its own linter', async () => {
    for (const name of names) await cluster.helm('lint', '--strict', chart, '-f', join(cases, `${name}.values.yaml`))
  })

  test('there are ten installations and more to hold it against', () => assert.ok(names.length >= 10, names.join()))

  for (const name of names) {
    test(`renders ${name} as before`, () => {
      const golden = join(cases, `${name}.golden.yaml`)
      if (process.env.UPDATE_GOLDEN) writeFileSync(golden, rendered.get(name) ?? '')
      assert.ok(existsSync(golden), `${golden} is missing: run with UPDATE_GOLDEN=1`)
      assert.equal(rendered.get(name), readFileSync(golden, 'utf8'))
    })
  }

  test('a real API server accepts all of them, definitions included, where it enforces the restricted Pod Security Standard', async () => {
    const definitions = objects(await render('full', '--set', 'crds.enabled=true')).filter(({ kind }) => kind === 'CustomResourceDefinition')
    assert.equal(definitions.length, 2)
    assert.ok(definitions.every(({ metadata: { labels } }) => labels['team'] === 'platform'))
    assert.deepEqual(await refusals(cluster.api, definitions), [])
    for (const name of names) assert.deepEqual(await refusals(cluster.api, of(name)), [], name)
  })

  test('their pods hold to the restricted Pod Security Standard, and would not if values said otherwise', async () => {
    const create = (yaml: readonly Manifest[]) => {
      const pods = yaml.filter(({ kind }) => kind === 'Deployment').map(({ metadata, spec: { template } }) =>
        ({ apiVersion: 'v1', kind: 'Pod', ...template, metadata: { ...template.metadata, name: metadata.name } }))
      assert.ok(pods.length >= 2)
      return refusals(cluster.api, pods)
    }
    for (const name of names) assert.deepEqual(await create(of(name)), [], name)
    const refused = await create(objects(await render('redis', '--set', 'securityContext.allowPrivilegeEscalation=true')))
    assert.deepEqual(refused.map((one) => /violates PodSecurity "restricted/.test(one)), [true, true, true])
  })

  test('kubeconform finds in them nothing that the schemas do not have', async () => {
    const location = await writeSchemas(cluster.api, join(cluster.folder, 'schemas'))
    const check = (...files: string[]) => run(cluster.binaries.kubeconform, ['-strict', '-summary', '-schema-location', location, ...files])
    const { stdout } = await check(folder)
    assert.match(stdout, new RegExp(`Summary: ${names.reduce((sum, name) => sum + of(name).length, 0)} resources found .*Invalid: 0, Errors: 0, Skipped: 0`))
    const wrong = join(cluster.folder, 'wrong.yaml')
    writeFileSync(wrong, (rendered.get('monitoring') ?? '').replaceAll('scrapeProtocols:', 'scrapeProtocol:'))
    await assert.rejects(check(wrong), (error: Error & { stdout: string }) => /ServiceMonitor .* additional properties 'scrapeProtocol' not allowed/.test(error.stdout))
  })

  test('kube-score finds nothing critical', async () => {
    for (const name of names) {
      const ignored = Object.hasOwn(chosen, name) ? ['--ignore-test', chosen[name] ?? ''] : []
      await run(tools.kubeScore, ['score', '--output-format', 'ci', ...ignored, join(folder, `${name}.yaml`)])
        .catch((error: { stdout: string }) => assert.fail(`${name}:\n${error.stdout.split('\n').filter((line) => line.startsWith('[CRITICAL]')).join('\n')}`))
    }
    // The one check that annotations switch off says two things, of which this one holds.
    for (const { name, resources } of names.flatMap(containers)) assert.ok(resources?.limits?.['memory'], name)
  })

  test('the command line takes every argument', () => {
    for (const name of names) {
      assert.ok(ours(name).length >= 3)
      for (const { args: [first = '', ...words] } of ours(name)) {
        assert.ok(Object.hasOwn(commands, first), first)
        const options = readOptions(first as Command, words, {})
        assert.ok(!('usage' in options), JSON.stringify(options))
      }
    }
  })

  test('a pod has time for its drain before it is killed', () => {
    const seconds = (args: readonly string[], flag: string) => Number(args.find((arg) => arg.startsWith(`--${flag}=`))?.slice(flag.length + 3, -1))
    let seen = 0
    for (const { spec: { template: { spec } } } of names.flatMap(workloads)) {
      const args = spec.containers.find(({ name }) => name === 'proxy')?.args
      if (args === undefined) continue
      seen++
      assert.ok((spec.terminationGracePeriodSeconds ?? 0) >= seconds(args, 'drain-delay') + seconds(args, 'drain-timeout') + 5)
    }
    assert.ok(seen >= names.length)
  })

  test('labels that all objects shall have are on all of them, and on their pods', () => {
    for (const { kind, metadata, spec } of of('full')) {
      assert.equal(metadata.labels['team'], 'platform', `${kind} ${metadata.name}`)
      if (kind === 'Deployment') assert.equal((spec.template.metadata as Manifest['metadata']).labels['team'], 'platform')
    }
  })

  test('nothing is random, and nothing asks the cluster: the same values always render the same', () => {
    for (const file of globSync('templates/**/*', { cwd: chart, withFileTypes: true })) {
      if (!file.isFile()) continue
      const text = readFileSync(join(file.parentPath, file.name), 'utf8')
      assert.doesNotMatch(text, /\{\{[^}]*\b(rand[A-Z]\w*|gen[A-Z]\w*|uuidv4|now|lookup|shuffle)\b/, file.name)
    }
  })

  test('it takes the values that the documentation shows', async () => {
    const known = new Set(Object.keys((JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as { properties: object }).properties))
    let taken = 0
    const docs = join(import.meta.dirname, '../../docs')
    for (const page of globSync('**/*.md', { cwd: docs })) {
      const text = readFileSync(join(docs, page), 'utf8')
      for (const [, block = ''] of text.matchAll(/^```yaml\n(.*?)^```/gms)) {
        const keys = Object.keys((parseAllDocuments(block)[0]?.toJS() ?? {}) as object)
        if (!keys.every((key) => known.has(key))) continue
        taken++
        await cluster.helm('template', 'modelroute', chart, '-f', '-', { stdin: block })
      }
    }
    assert.ok(taken >= 13, `${taken} blocks`)
  })

  const refused: readonly (readonly [set: string, message: RegExp])[] = [
    ['gateway.replicas=2', /additional properties 'gateway' not allowed/],
    ['controller.replica=2', /additional properties 'replica' not allowed/],
    ['gateways[0].replicas=2', /missing property 'name'/],
    ['gateways[0].name=Default', /does not match pattern/],
    ['gateways[0].name=a,gateways[0].tls.secret=a', /additional properties 'secret' not allowed/],
    ['gateways[0].name=a,gateways[1].name=a', /two are named "a"/],
    ['controller.replicas=two', /got string, want integer/],
    ['controller.replicas=2,controller.leaderElection.enabled=false', /needs controller\.leaderElection\.enabled/],
    ['certificates.issuer=vault', /value must be one of/],
    ['certificates.existingSecret.proxy=mine', /give both controller and proxy, or neither/],
    ['gatewayDefaults.service.nodePort=30080', /needs service\.type NodePort or LoadBalancer/],
    ['image.digest=latest', /does not match pattern/],
    ['redis.url=redis://bob:secret@redis:6379', /does not match pattern/],
    ['redis.url=redis://redis:6379,redis.existingSecret=redis', /give one of url, existingSecret and enabled/],
    ['redis.url=redis://redis:6379,redis.enabled=true', /give one of url, existingSecret and enabled/],
    ['gatewayDefaults.name=a', /a name belongs to an entry of gateways/],
    ['gatewayDefaults.predictions.url=https://bob:secret@events', /does not match pattern/],
    ['gatewayDefaults.predictions.url=https://events,gatewayDefaults.predictions.existingSecret=events', /give one of url, existingSecret and volume/],
    ['gatewayDefaults.tolerations[0].effects=NoSchedule', /additional properties 'effects' not allowed/],
    ['gatewayDefaults.topologySpreadConstraints[0].maxSkew=1', /missing properties 'topologyKey', 'whenUnsatisfiable'/],
    ['gatewayDefaults.autoscaling.enabled=true,gatewayDefaults.autoscaling.targetCPUUtilizationPercentage=null', /needs targetCPUUtilizationPercentage, targetInflightRequests or both/],
    ['gatewayDefaults.autoscaling.enabled=true,gatewayDefaults.autoscaling.minReplicas=20', /minReplicas is more than maxReplicas/],
    ['networkPolicy.models[0].podLabels.app=triton', /missing property 'namespace'/],
    ['networkPolicy.models[0].namespace=ml,networkPolicy.models[1].namespace=ml', /two of the namespace "ml" have the same name/],
    ['networkPolicy.models[0].namespace=ml,networkPolicy.models[0].gateways={internal}', /there is no gateway "internal"/],
    ['networkPolicy.clients[0].podSelectors.app=a', /additional properties 'podSelectors' not allowed/],
    ['securityContext.readOnlyRootFileSystem=true', /additional properties 'readOnlyRootFileSystem' not allowed/],
  ]
  for (const [set, message] of refused) {
    test(`refuses --set ${set}`, async () => {
      await assert.rejects(cluster.helm('template', 'modelroute', chart, '--set', set), message)
    })
  }

  test('what can have several replicas has a disruption budget, one replica has none', async () => {
    const budgets = (yaml: readonly Manifest[]) => yaml.filter(({ kind }) => kind === 'PodDisruptionBudget').map((o) => o.metadata.name)
    assert.deepEqual(budgets(of('plain')), [])
    assert.deepEqual(budgets(objects(await render('plain', '--set', 'gateways[0].name=default,gateways[0].replicas=2'))), ['modelroute-gateway-default'])
    assert.deepEqual(budgets(of('autoscaling')).sort(), ['both', 'default', 'fixed', 'generative'].map((name) => `modelroute-gateway-${name}`))
  })

  test('replicas are left to who scales', () => {
    const replicas = workloads('autoscaling').map(({ metadata, spec }) => [metadata.name, (spec as { replicas?: number }).replicas])
    assert.deepEqual(Object.fromEntries(replicas), {
      'modelroute-controller': 1, 'modelroute-gateway-default': undefined, 'modelroute-gateway-generative': undefined,
      'modelroute-gateway-both': undefined, 'modelroute-gateway-fixed': 2,
    })
  })

  test('the push channel is never plain without a policy around it', () => {
    assert.ok(of('plain').some(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'modelroute-controller'))
    for (const name of names.filter((one) => one !== 'plain')) {
      for (const { args } of ours(name).filter(({ args: [command] }) => command !== 'selftest')) {
        assert.ok(!args.some((arg) => arg.startsWith('--insecure')), name)
        assert.ok(args.some((arg) => arg === '--self-certificates=modelroute-controller.gateway.svc' || arg === '--client-ca=/etc/modelroute/tls/ca.crt'), name)
      }
    }
  })

  test('a controller may do its work, and nothing beyond it', async () => {
    await cluster.helm('install', 'modelroute', chart, '-n', 'gateway', '-f', join(cases, 'default.values.yaml'),
      '--set', 'crds.enabled=true', '--set', 'secretNamespaces={team-a}')
    // Each line: verb resource.group namespace name, `*` where it does not matter.
    const may = async (line: string) => {
      const [verb, kind = '', namespace, name] = line.split(' ')
      const [, resource = '', subresource, group = ''] = /^([a-z]+)(?:\/([a-z]+))?(?:\.(.+))?$/.exec(kind) ?? []
      const answer = await cluster.api.create('/apis/authorization.k8s.io/v1/subjectaccessreviews', {
        apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview',
        spec: {
          user: 'system:serviceaccount:gateway:modelroute-controller',
          groups: ['system:serviceaccounts', 'system:serviceaccounts:gateway', 'system:authenticated'],
          resourceAttributes: {
            verb, group, resource, subresource, namespace: namespace === '*' ? '' : namespace, name: name === '*' ? '' : name,
          },
        },
      })
      return (answer.status as { allowed: boolean }).allowed
    }
    const allowed = [
      'list modelroutes.modelroute.io * *', 'patch modelroutes.modelroute.io ml *', 'watch ratelimitpolicies.modelroute.io * *', 'watch services * *',
      'patch modelroutes/status.modelroute.io ml *', 'patch ratelimitpolicies/status.modelroute.io ml *',
      'watch endpointslices.discovery.k8s.io * *', 'watch inferenceservices.serving.kserve.io * *',
      'watch referencegrants.gateway.networking.k8s.io * *', 'watch controllerrevisions.apps * *',
      'create controllerrevisions.apps ml *', 'patch controllerrevisions.apps ml *', 'delete controllerrevisions.apps ml *',
      'create events.events.k8s.io ml *', 'create leases.coordination.k8s.io gateway *',
      'get leases.coordination.k8s.io gateway modelroute-controller', 'update leases.coordination.k8s.io gateway modelroute-controller',
      'create secrets gateway *', 'get secrets gateway modelroute-controller-ca', 'update secrets gateway modelroute-controller-ca',
      'get secrets gateway modelroute-controller-proxy', 'update secrets gateway modelroute-controller-proxy',
      'get secrets gateway modelroute-pepper', 'list secrets team-a *', 'watch secrets team-a *', 'watch configmaps team-a *',
    ]
    const denied = [
      'get secrets gateway *', 'list secrets * *', 'get configmaps gateway *', 'get pods gateway *', 'create pods gateway *',
      'update modelroutes.modelroute.io ml *', 'delete modelroutes.modelroute.io ml *',
      'update modelroutes/status.modelroute.io ml *', 'patch services ml *', 'update endpointslices.discovery.k8s.io ml *',
      'patch inferenceservices.serving.kserve.io ml *', 'update controllerrevisions.apps ml *', 'list events.events.k8s.io ml *',
      'update deployments.apps gateway *', 'list namespaces * *', 'list nodes * *', 'create tokenreviews.authentication.k8s.io * *',
      'update leases.coordination.k8s.io gateway another', 'list leases.coordination.k8s.io gateway *',
      'get leases.coordination.k8s.io ml modelroute-controller', 'create leases.coordination.k8s.io ml *',
      'get secrets gateway another', 'list secrets gateway *', 'delete secrets gateway modelroute-controller-ca',
      'create secrets ml *', 'create secrets team-a *', 'update secrets team-a *', 'list secrets ml *', 'get secrets ml modelroute-controller-ca',
    ]
    for (const what of allowed) assert.ok(await may(what), `the controller may not ${what}`)
    for (const what of denied) assert.ok(!await may(what), `the controller may ${what}`)

    // What RBAC cannot tell apart, a policy does: annotations of commands, and the spec.
    const spec = { rules: [{ name: 'infer', backendRefs: [{ variant: 'stable', name: 'fraud', port: 8000 }] }] }
    await cluster.apply([{ apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'fraud', namespace: 'ml', annotations: { a: 'b' } }, spec }])
    const controller = cluster.api.as(await cluster.token('gateway', 'modelroute-controller'))
    const path = '/apis/modelroute.io/v1alpha1/namespaces/ml/modelroutes/fraud'
    await until('the policy holds', async () => {
      const weight = [{ op: 'add', path: '/spec/rules/0/backendRefs/0/weight', value: 1 + Math.round(Math.random() * 1000) }]
      return controller.patch(path, weight, 'json').then(() => false, (error: Error) => error.message.includes('never writes a spec'))
    })
    await controller.patch(path, [{ op: 'remove', path: '/metadata/annotations/a' }], 'json')
  })

  test('people who may edit or view their namespace may edit or view its routes', async () => {
    const rules = async (role: string) => {
      const { items } = JSON.parse(await cluster.kubectl('get', 'clusterroles', '-o', 'json',
        '-l', `rbac.authorization.k8s.io/aggregate-to-${role}=true,app.kubernetes.io/instance=modelroute`,
      )) as { items: { rules: { verbs: string[] }[] }[] }
      return items.flatMap((item) => item.rules.flatMap((rule) => rule.verbs)).sort()
    }
    assert.deepEqual(await rules('view'), ['get', 'list', 'watch'])
    assert.deepEqual(await rules('edit'), ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'])
  })

  test('a proxy is told the zone of its node, where the API server tells pods of it (1.35 and later)', async () => {
    const zone = 'topology.kubernetes.io/zone'
    const pod = {
      apiVersion: 'v1', kind: 'Pod', metadata: { name: 'where', namespace: 'ml' },
      spec: { nodeName: 'in-eu-1', containers: [{ name: 'proxy', image: 'x' }] },
    }
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Node', metadata: { name: 'in-eu-1', labels: { [zone]: 'eu-1' } } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: 'ml' } },
      pod,
    ])
    const { metadata } = JSON.parse(await cluster.kubectl('-n', 'ml', 'get', 'pod', 'where', '-o', 'json')) as { metadata: { labels?: Record<string, string> } }
    assert.equal(metadata.labels?.[zone], 'eu-1')
    for (const name of names) assert.match(rendered.get(name) ?? '', /fieldPath: "metadata\.labels\['topology\.kubernetes\.io\/zone'\]"/)
  })
})

/** Enough of a definition for an API server to know the kind. */
function kindOf(plural: string, kind: string, group: string): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group, scope: 'Namespaced', names: { kind, plural, singular: kind.toLowerCase() },
      versions: [{
        name: 'v1', served: true, storage: true,
        schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } } },
      }],
    },
  }
}
