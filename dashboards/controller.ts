import type { Dashboard } from './panel.ts'
import { quantile } from './requests.ts'

const q = (at: number, metric: string, by: readonly string[] = []): string => quantile(at, metric, '', by)
const pace = (metric: string, by: string): string => `sum by (${by}) (rate(${metric}[$__rate_interval]))`

export const controller: Dashboard = {
  file: 'controller', title: 'Controller and rollouts',
  description: 'How changes reach the proxies, where rollouts are, and how the controller gets on with its cluster.',
  variables: [],
  panels: [
    { title: 'Proxies', why: 'Connected, and of these: current, behind, refusing some route.', unit: 'short', queries: [['sum by (state) (modelroute_proxies)', '{{state}}']] },
    { title: 'To the last proxy', why: 'From the arrival of a change until every connected proxy has it in force.', unit: 's', queries: [[q(0.5, 'modelroute_apply_to_ack_seconds'), 'p50'], [q(0.99, 'modelroute_apply_to_ack_seconds'), 'p99']] },
    { title: 'Compiling', why: 'One reading of the resources into tables.', unit: 's', queries: [[q(0.5, 'modelroute_compile_duration_seconds'), 'p50'], [q(0.99, 'modelroute_compile_duration_seconds'), 'p99']] },
    { title: 'Rollouts', why: 'Rules by the phase that they are in.', unit: 'short', as: 'stack', queries: [['sum by (phase) (max by (route, rule, phase) (modelroute_rollout_phase))', '{{phase}}']] },
    { title: 'Where each is', why: 'Its phase, of those that are not done.', unit: 'none', as: 'table', queries: [['max by (route, rule, phase) (modelroute_rollout_phase{phase!="Stable"})', '']] },
    { title: 'Shares', why: 'Of each variant in force.', unit: 'percentunit', as: 'lines', queries: [['max by (route, rule, variant) (modelroute_rollout_share)', '{{route}}/{{rule}} {{variant}}']] },
    { title: 'Gates', why: 'What was measured of the candidate, and between which bounds the truth is.', unit: 'none', queries: [['modelroute_rollout_gate{of="candidate"}', '{{route}}/{{rule}} {{gate}} {{figure}}']] },
    { title: 'Verdicts', why: 'Of the last judgement of each gate.', unit: 'none', as: 'table', queries: [['modelroute_rollout_gate_verdict', '']] },
    { title: 'Resources', why: 'By what became of them.', unit: 'short', as: 'stack', queries: [['max by (kind, state) (modelroute_resources)', '{{kind}} {{state}}']] },
    { title: 'Leading', why: '1 for the controller that decides.', unit: 'none', queries: [['modelroute_leader', '{{instance}}']] },
    { title: 'Last change', why: 'Since the resources were read and compiled.', unit: 's', queries: [['modelroute_snapshot_age_seconds', '{{instance}}']] },
    { title: 'Watches', why: 'Of the Kubernetes API, by how they are. Over files there are none.', unit: 'short', as: 'stack', queries: [['sum by (state) (modelroute_watches)', '{{state}}']] },
    { title: 'Calls of Kubernetes', why: 'By verb and status; 0: no answer.', unit: 'reqps', as: 'stack', queries: [[pace('modelroute_kubernetes_requests_total', 'verb, code'), '{{verb}} {{code}}']] },
    { title: 'Calls of Kubernetes, p95', why: 'Watches aside.', unit: 's', queries: [[q(0.95, 'modelroute_kubernetes_request_duration_seconds', ['verb']), '{{verb}}']] },
    { title: 'To be written', why: 'Objects whose status, revision or annotation waits to be written.', unit: 'short', queries: [['sum by (queue) (modelroute_queue_depth)', '{{queue}}']] },
    { title: 'Written in vain', why: 'Writes that came to nothing and are tried again.', unit: 'cps', queries: [[pace('modelroute_reconcile_errors_total', 'queue'), '{{queue}}']] },
    { title: 'Processors', why: 'That the controller keeps busy.', unit: 'none', queries: [['rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) modelroute_leader', '{{instance}}']] },
    { title: 'Memory', why: 'Of the controller.', unit: 'bytes', queries: [['process_resident_memory_bytes and on (instance) modelroute_leader', '{{instance}}']] },
  ],
}
