// The chart, as Helm renders it and as a real API server takes it.
//
//   UPDATE_GOLDEN=1 node test/cluster/run.ts test/cluster/chart.e2e.ts      # after a change that was meant
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { type Command, commands } from '../../cli/commands.ts'
import { readOptions } from '../../cli/options.ts'
import { cannotRun } from './build.ts'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { until } from './wait.ts'

const chart = join(import.meta.dirname, '../../charts/modelroute')
const cases = join(import.meta.dirname, '../chart')
const names = ['default', 'cert-manager', 'plain', 'full'] as const

type Manifest = {
  kind: string
  metadata: { name: string }
  spec: { template: { metadata: object, spec: { containers: { command: string[], args: string[] }[] } } }
}

suite('the chart', { skip: await cannotRun() }, () => {
  let cluster: ControlPlane
  const render = (name: string, ...args: string[]) =>
    cluster.helm('template', 'modelroute', chart, '--namespace', 'gateway', '-f', join(cases, `${name}.values.yaml`), ...args)
  const objects = (yaml: string) =>
    parseAllDocuments(yaml).map((document) => document.toJS() as Manifest | null).filter((object) => object !== null)

  before(async () => {
    cluster = await startControlPlane()
    await cluster.apply([
      {
        apiVersion: 'v1', kind: 'Namespace',
        metadata: { name: 'gateway', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
      },
      ...['ml', 'team-a'].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
      ...['certificates', 'issuers'].map((plural) => kindOf(plural, plural === 'issuers' ? 'Issuer' : 'Certificate', 'cert-manager.io')),
      kindOf('prometheusrules', 'PrometheusRule', 'monitoring.coreos.com'),
    ])
    await cluster.kubectl('wait', '--for=condition=Established', 'crd', '--all')
  })
  after(() => cluster?.stop())

  test('passes its own linter', async () => {
    for (const name of names) await cluster.helm('lint', '--strict', chart, '-f', join(cases, `${name}.values.yaml`))
  })

  for (const name of names) {
    test(`renders ${name} as before`, async () => {
      const golden = join(cases, `${name}.golden.yaml`)
      const rendered = await render(name)
      if (process.env.UPDATE_GOLDEN) writeFileSync(golden, rendered)
      assert.ok(existsSync(golden), `${golden} is missing: run with UPDATE_GOLDEN=1`)
      assert.equal(rendered, readFileSync(golden, 'utf8'))
    })

    test(`a real API server accepts ${name}, definitions included`, async () => {
      const yaml = await render(name, '--set', 'crds.enabled=true')
      const applied = await cluster.kubectl(
        'apply', '--server-side', '--dry-run=server', '-f', '-', { stdin: yaml })
      assert.equal(applied.trim().split('\n').length, objects(yaml).length, applied)
      assert.match(applied, /customresourcedefinition.*modelroutes\.modelroute\.io serverside-applied/)
    })

    test(`the command line takes every argument of ${name}`, async () => {
      const containers = objects(await render(name)).filter(({ kind }) => kind === 'Deployment')
        .flatMap(({ spec }) => spec.template.spec.containers)
      assert.ok(containers.length >= 2)
      for (const { command, args: [first = '', ...words] } of containers) {
        assert.deepEqual(command, ['modelroute'])
        assert.ok(Object.hasOwn(commands, first), first)
        const options = readOptions(first as Command, words, {})
        assert.ok(!('usage' in options), JSON.stringify(options))
      }
    })

    test(`the pods of ${name} hold to the restricted Pod Security Standard`, async () => {
      const create = async (...args: string[]) => {
        const deployments = objects(await render(name, ...args)).filter(({ kind }) => kind === 'Deployment')
        assert.ok(deployments.length >= 2)
        for (const { metadata, spec: { template } } of deployments) {
          const pod = { apiVersion: 'v1', kind: 'Pod', ...template, metadata: { ...template.metadata, name: metadata.name } }
          await cluster.kubectl('create', '--dry-run=server', '-n', 'gateway', '-f', '-', { stdin: JSON.stringify(pod) })
        }
      }
      await create()
      await assert.rejects(create('--set', 'securityContext.allowPrivilegeEscalation=true'), /violates PodSecurity/)
    })
  }

  const refused: readonly (readonly [set: string, message: RegExp])[] = [
    ['gateway.replicas=2', /additional properties 'gateway' not allowed/],
    ['controller.replica=2', /additional properties 'replica' not allowed/],
    ['gateways[0].replicas=2', /missing property 'name'/],
    ['gateways[0].name=Default', /does not match pattern/],
    ['gateways[0].name=a,gateways[0].tls.enabled=true', /additional properties 'tls' not allowed/],
    ['gateways[0].name=a,gateways[1].name=a', /two are named "a"/],
    ['controller.replicas=two', /got string, want integer/],
    ['controller.replicas=2,controller.leaderElection.enabled=false', /needs controller\.leaderElection\.enabled/],
    ['certificates.issuer=vault', /value must be one of/],
    ['certificates.existingSecret.proxy=mine', /give both controller and proxy, or neither/],
    ['gatewayDefaults.service.nodePort=30080', /needs service\.type NodePort or LoadBalancer/],
    ['image.digest=latest', /does not match pattern/],
    ['redis.url=redis://bob:secret@redis:6379', /does not match pattern/],
    ['redis.url=redis://redis:6379,redis.existingSecret=redis', /give url or existingSecret, not both/],
  ]
  for (const [set, message] of refused) {
    test(`refuses --set ${set}`, async () => {
      await assert.rejects(cluster.helm('template', 'modelroute', chart, '--set', set), message)
    })
  }

  test('more replicas bring a disruption budget, one does not', async () => {
    const budgets = async (set: string) =>
      objects(await render('plain', '--set', set)).filter(({ kind }) => kind === 'PodDisruptionBudget').map((o) => o.metadata.name)
    assert.deepEqual(await budgets('controller.replicas=1'), [])
    assert.deepEqual(await budgets('gateways[0].name=default,gateways[0].replicas=2'), ['modelroute-gateway-default'])
  })

  test('the push channel is never plain without a policy around it', async () => {
    const yaml = objects(await render('plain'))
    assert.ok(yaml.some(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'modelroute-controller'))
    for (const name of ['default', 'cert-manager', 'full']) {
      const args = objects(await render(name))
        .filter(({ kind }) => kind === 'Deployment').map((o) => o.spec.template.spec.containers[0]!.args)
      assert.ok(args.length >= 2)
      for (const list of args) {
        assert.ok(!list.some((arg) => arg.startsWith('--insecure')), name)
        const own = name === 'default' && list[0] === 'controller'
        assert.ok(list.includes(own ? '--self-certificates=modelroute-controller.gateway.svc' : '--client-ca=/etc/modelroute/tls/ca.crt'))
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
    for (const name of names) assert.match(await render(name), /fieldPath: "metadata\.labels\['topology\.kubernetes\.io\/zone'\]"/)
  })
})

/** Enough of cert-manager's definition for an API server to know the kind. */
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
