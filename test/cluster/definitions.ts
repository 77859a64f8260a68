import { join } from 'node:path'
import type { ControlPlane } from './control-plane.ts'
import { until } from './wait.ts'

const root = join(import.meta.dirname, '../..')

/** Our definitions, and the server serves what they define. */
export async function define(cluster: ControlPlane): Promise<void> {
  const plurals = ['modelroutes', 'ratelimitpolicies']
  for (const plural of plurals) await cluster.kubectl('apply', '--server-side', '-f', join(root, `crds/${plural}.modelroute.io.yaml`))
  // Of a definition that is a moment old kubectl says that it has no conditions at all.
  const established = () => cluster.kubectl('wait', '--for=condition=Established', '--timeout=10s', ...plurals.map((plural) => `crd/${plural}.modelroute.io`))
  await until('the kinds', () => established().then(() => true, () => false), { timeout: 60_000 })
}
