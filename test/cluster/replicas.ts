import { join } from 'node:path'
import { freePorts } from '../free-ports.ts'
import type { ControlPlane } from './control-plane.ts'
import { Process } from './process.ts'

const root = join(import.meta.dirname, '../..')

/** `user`: what the API server calls it. */
type Account = Readonly<{ name: string; user: string; kubeconfig: string }>

/** Accounts of the namespace `default` that may do everything. */
export async function administrators(cluster: ControlPlane, names: readonly string[]): Promise<readonly Account[]> {
  await cluster.apply([
    ...names.map((name) => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'default' } })),
    {
      apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', metadata: { name: 'administrators' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: names.map((name) => ({ kind: 'ServiceAccount', name, namespace: 'default' })),
    },
  ])
  return Promise.all(names.map(async (name) => (
    { name, user: `system:serviceaccount:default:${name}`, kubeconfig: cluster.kubeconfigFor(await cluster.token('default', name)) }
  )))
}

/** A controller as a process of its own. `push`, `control`: URLs. */
export type Replica = Readonly<{ process: Process; push: string; control: string }>
type Planned = Readonly<{ name: string; kubeconfig: string; /** Of Node.js. */ flags?: readonly string[]; env?: Readonly<Record<string, string>> }>

/** Controllers of one cluster, one of which leads. None is started. @param folder of their logs */
export async function replicasOf(folder: string, planned: readonly Planned[]): Promise<readonly Replica[]> {
  const ports = await freePorts(2 * planned.length)
  return planned.map(({ name, kubeconfig, flags = [], env = {} }, at) => {
    const [push = 0, control = 0] = ports.slice(at * 2, at * 2 + 2)
    const args = [...flags, join(root, 'cli/modelroute.js'), 'controller', '--kubeconfig', kubeconfig, '--lease-namespace', 'default', '--allow-unmanaged-endpointslices',
      '--push-port', String(push), '--control-port', String(control)]
    const own = new Process({ name, command: process.execPath, args, env: { ...process.env, ...env }, log: join(folder, `${name}.log`) })
    return { process: own, push: `http://127.0.0.1:${push}`, control: `http://127.0.0.1:${control}` }
  })
}
