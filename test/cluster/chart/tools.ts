import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { goModule, goProgram, goProgramOf } from '../build.ts'

export type ChartTools = Readonly<{
  /** Path of the program. */
  kubeScore: string
  /** What cert-manager and the Prometheus Operator define: YAML of CustomResourceDefinitions. */
  definitions: readonly string[]
}>

/** What the chart is held against beside an API server, from published Go modules. */
export async function chartTools(): Promise<ChartTools> {
  const [kubeScore, certManager, prometheus] = [
    await goProgram('github.com/zegl/kube-score/cmd/kube-score', 'v1.20.0'),
    await goModule('github.com/cert-manager/cert-manager', 'v1.21.2'),
    await goModule('github.com/prometheus-operator/prometheus-operator', 'v0.85.0'),
  ]
  const crds = (folder: string, names: readonly string[]) => names.map((name) => readFileSync(join(folder, `${name}.yaml`), 'utf8'))
  return {
    kubeScore,
    definitions: [
      ...crds(join(certManager, 'deploy/crds'), ['cert-manager.io_certificates', 'cert-manager.io_issuers']),
      ...crds(join(prometheus, 'example/prometheus-operator-crd'), ['monitoring.coreos.com_prometheusrules', 'monitoring.coreos.com_servicemonitors']),
    ],
  }
}

/** Applies the patch of a sidecar as its users do. */
export const kustomize = () => goProgram('sigs.k8s.io/kustomize/kustomize/v5', 'v5.8.1')

/** Offers what Prometheus knows to autoscalers. */
export const prometheusAdapter = () => goProgramOf('sigs.k8s.io/prometheus-adapter', 'v0.12.0', './cmd/adapter', 'prometheus-adapter')
