import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { certManagerProgram, certManagerVersion, goModule, goProgram, goProgramOf } from '../build.ts'

export type ChartTools = Readonly<{
  /** Path of the program. */
  kubeScore: string
  /** What cert-manager and the Prometheus Operator define: YAML of CustomResourceDefinitions. */
  definitions: readonly string[]
}>

/** What the chart is held against beside an API server, from published Go modules. */
export async function chartTools(): Promise<ChartTools> {
  const [kubeScore, certificates, prometheus] = [
    await goProgram('github.com/zegl/kube-score/cmd/kube-score', 'v1.20.0'),
    await certManagerDefinitions(['certificates', 'issuers']),
    await goModule('github.com/prometheus-operator/prometheus-operator', 'v0.85.0'),
  ]
  const operator = ['prometheusrules', 'servicemonitors'].map((name) => join(prometheus, `example/prometheus-operator-crd/monitoring.coreos.com_${name}.yaml`))
  return { kubeScore, definitions: [...certificates, ...operator.map((file) => readFileSync(file, 'utf8'))] }
}

async function certManagerDefinitions(names: readonly string[]): Promise<readonly string[]> {
  const folder = join(await goModule('github.com/cert-manager/cert-manager', certManagerVersion), 'deploy/crds')
  return names.map((name) => readFileSync(join(folder, `cert-manager.io_${name}.yaml`), 'utf8'))
}

/** cert-manager itself. */
export async function certManager(): Promise<Readonly<{ program: string; definitions: readonly string[] }>> {
  const definitions = await certManagerDefinitions(['certificates', 'certificaterequests', 'clusterissuers', 'issuers'])
  return { program: await certManagerProgram(), definitions }
}

/** Applies the patch of a sidecar as its users do. */
export const kustomize = () => goProgram('sigs.k8s.io/kustomize/kustomize/v5', 'v5.8.1')

/** Offers what Prometheus knows to autoscalers. */
export const prometheusAdapter = () => goProgramOf('sigs.k8s.io/prometheus-adapter', 'v0.12.0', './cmd/adapter', 'prometheus-adapter')
