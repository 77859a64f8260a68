/** `modelroute key --apply` against a real API server, with the rights of somebody who may manage Secrets of one namespace. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, suite, test } from 'node:test'
import { key } from '../../cli/key.ts'
import { readOptions } from '../../cli/options.ts'
import { cannotRun } from './build.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'

suite('API keys in a cluster', { skip: await cannotRun() }, () => {
  let cluster: ControlPlane
  let kubeconfig: string

  before(async () => {
    cluster = await startControlPlane()
    const name = 'keeper'
    await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ml' } }])
    await cluster.apply([
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'ml' } },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name, namespace: 'ml' },
        rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['list', 'create', 'patch', 'delete'] }],
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: { name, namespace: 'ml' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name }, subjects: [{ kind: 'ServiceAccount', name, namespace: 'ml' }],
      },
    ])
    kubeconfig = cluster.kubeconfigFor(await cluster.token('ml', name), 'ml')
  })
  after(() => cluster?.stop())

  const run = async (line: string): Promise<string> => {
    const options = readOptions('key', [...line.split(' '), '--apply', '--kubeconfig', kubeconfig], {})
    if ('usage' in options) throw new Error(options.usage.join('; '))
    let out = ''
    await key(options, { stdout: (text) => (out += text), stderr: () => {} })
    return out.trim()
  }
  const secrets = async () => (await cluster.api.list('/api/v1/namespaces/ml/secrets'))
    .filter(({ metadata }) => metadata.labels?.['modelroute.io/credential'] === 'api-key')
  const digest = (text: string) => Buffer.from(createHash('sha256').update(text).digest('hex')).toString('base64')

  test('created, rotated, listed and revoked in the namespace of the context', async () => {
    const first = await run('create --consumer ann --tier pro --group a --label team=x')
    assert.deepEqual((await secrets()).map(({ data }) => data), [{ keySha256: digest(first) }])
    const second = await run('rotate --consumer ann --overlap 1h')
    const kept = await secrets()
    const of = (text: string) => kept.find(({ data }) => data?.keySha256 === digest(text))?.metadata
    const left = Date.parse(of(first)?.annotations?.['modelroute.io/expires'] ?? '') - Date.now()
    assert.ok(left > 3_500_000 && left <= 3_600_000, `${left} ms`)
    assert.equal(of(second)?.annotations?.['modelroute.io/tier'], 'pro')
    assert.equal(of(second)?.labels?.['team'], 'x')
    assert.equal((await run('list')).split('\n').length, 3)
    await run('revoke --consumer ann')
    assert.deepEqual(await secrets(), [])
  })

  test('what one may not do is said in the words of the cluster', async () => {
    await assert.rejects(run('create --consumer ann -n default'), /the cluster says 403: .*cannot create resource "secrets"/)
    await assert.rejects(run('revoke --consumer nobody'), /nobody has no key in namespace ml/)
  })
})
