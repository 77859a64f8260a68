/** One alert: series by which it fires, what it fires for, and series by which it does not. Values as promtool takes them, one a minute for two hours. */
export type AlertCase = Readonly<{ alert: string; severity: string; fires: Readonly<Record<string, string>>; labels: string; quiet: Readonly<Record<string, string>> }>

const growing = (step: number): string => `0+${step}x120`
const steady = (value: number): string => `${value}x120`
const requests = (route: string, code: string): string => `modelroute_requests_total{route="${route}",rule="infer",variant="canary",model_version="2",code="${code}"}`
const both = (name: string, values: Readonly<Record<string, number>>): Record<string, string> =>
  Object.fromEntries(Object.entries(values).map(([labels, step]) => [`${name}{${labels}}`, growing(step)]))
const phase = (name: string, value: number): Record<string, string> => ({ [`modelroute_rollout_phase{route="ml/a",rule="infer",phase="${name}"}`]: steady(value) })

export const alertCases: readonly AlertCase[] = [
  {
    alert: 'ModelRouteErrors', severity: 'critical', labels: 'route="ml/a"',
    fires: { [requests('ml/a', '200')]: growing(9), [requests('ml/a', '503')]: growing(1) },
    quiet: { [requests('ml/a', '200')]: growing(99), [requests('ml/a', '503')]: growing(1), [requests('', '503')]: growing(9) },
  },
  {
    alert: 'ModelRouteVariantErrors', severity: 'warning', labels: 'route="ml/b",rule="infer",variant="canary",model_version="2"',
    fires: { [requests('ml/b', '200')]: growing(3), [requests('ml/b', '500')]: growing(1) },
    quiet: { [requests('ml/b', '200')]: growing(19), [requests('ml/b', '500')]: growing(1) },
  },
  {
    alert: 'ModelRouteSlow', severity: 'warning', labels: 'route="ml/a"',
    fires: both('modelroute_request_duration_seconds_bucket', { 'route="ml/a",le="30.0"': 1, 'route="ml/a",le="60.0"': 5, 'route="ml/a",le="+Inf"': 5 }),
    quiet: both('modelroute_request_duration_seconds_bucket', { 'route="ml/a",le="30.0"': 5, 'route="ml/a",le="60.0"': 5, 'route="ml/a",le="+Inf"': 5 }),
  },
  {
    alert: 'ModelRouteLimitRejects', severity: 'warning', labels: 'policy="ml/p",limit="l"',
    fires: both('modelroute_ratelimit_decisions_total', { 'policy="ml/p",limit="l",decision="allowed"': 4, 'policy="ml/p",limit="l",decision="rejected"': 1 }),
    quiet: both('modelroute_ratelimit_decisions_total', { 'policy="ml/p",limit="l",decision="allowed"': 4, 'policy="ml/p",limit="l",decision="shadow_rejected"': 4 }),
  },
  {
    alert: 'ModelRouteLimitStoreUnavailable', severity: 'critical', labels: 'policy="ml/q",limit="l"',
    fires: both('modelroute_ratelimit_decisions_total', { 'policy="ml/q",limit="l",decision="unavailable"': 1 }),
    quiet: both('modelroute_ratelimit_decisions_total', { 'policy="ml/q",limit="l",decision="unavailable"': 0 }),
  },
  {
    alert: 'ModelRouteCircuitOpen', severity: 'warning', labels: 'route="ml/a",rule="infer",variant="v"',
    fires: { 'modelroute_circuit_state{route="ml/a",rule="infer",variant="v",instance="1"}': steady(0), 'modelroute_circuit_state{route="ml/a",rule="infer",variant="v",instance="2"}': '2 1 1x120' },
    quiet: { 'modelroute_circuit_state{route="ml/a",rule="infer",variant="v"}': '2 2 2 0x120' },
  },
  {
    alert: 'ModelRouteNoHealthyEndpoints', severity: 'critical', labels: 'route="ml/a",rule="infer",variant="v"',
    fires: { 'modelroute_endpoint_state{route="ml/a",rule="infer",variant="v",state="healthy"}': steady(0), 'modelroute_endpoint_state{route="ml/a",rule="infer",variant="v",state="unhealthy"}': steady(3) },
    quiet: { 'modelroute_endpoint_state{route="ml/a",rule="infer",variant="v",state="healthy"}': steady(1), 'modelroute_endpoint_state{route="ml/a",rule="infer",variant="v",state="unhealthy"}': steady(3) },
  },
  {
    alert: 'ModelRoutePluginFails', severity: 'warning', labels: 'plugin="p"',
    fires: both('modelroute_plugin_calls_total', { 'plugin="p",result="passed"': 4, 'plugin="p",result="timeout"': 1 }),
    quiet: both('modelroute_plugin_calls_total', { 'plugin="p",result="passed"': 4, 'plugin="p",result="refused"': 4 }),
  },
  {
    alert: 'ModelRouteSemanticCacheOff', severity: 'warning', labels: 'route="ml/a",rule="chat"',
    fires: { 'modelroute_cache_semantic_off{route="ml/a",rule="chat"}': steady(1) }, quiet: { 'modelroute_cache_semantic_off{route="ml/a",rule="chat"}': steady(0) },
  },
  {
    alert: 'ModelRoutePredictionsLost', severity: 'warning', labels: 'route="ml/a",rule="infer"',
    fires: both('modelroute_predictions_total', { 'route="ml/a",rule="infer",result="dropped"': 3 }),
    quiet: { ...both('modelroute_predictions_total', { 'route="ml/a",rule="infer",result="dropped"': 0, 'route="ml/a",rule="infer",result="logged"': 3 }), ...both('modelroute_prediction_events_total', { 'result="failed"': 0 }) },
  },
  {
    alert: 'ModelRouteOverloaded', severity: 'warning', labels: 'instance="1"',
    fires: { 'modelroute_event_loop_lag_seconds{instance="1"}': steady(0.5) }, quiet: { 'modelroute_event_loop_lag_seconds{instance="1"}': steady(0.1) },
  },
  {
    alert: 'ModelRouteTableStale', severity: 'warning', labels: 'instance="1"',
    fires: { 'modelroute_table_age_seconds{instance="1"}': growing(30) }, quiet: { 'modelroute_table_age_seconds{instance="1"}': steady(3) },
  },
  {
    alert: 'ModelRouteTablesDiffer', severity: 'warning', labels: 'job="g"',
    fires: { 'modelroute_table_version_info{job="g",instance="1",version="a"}': steady(1), 'modelroute_table_version_info{job="g",instance="2",version="b"}': steady(1) },
    quiet: { 'modelroute_table_version_info{job="g",instance="1",version="a"}': steady(1), 'modelroute_table_version_info{job="g",instance="2",version="a"}': steady(1), 'modelroute_table_version_info{job="h",instance="3",version="b"}': steady(1) },
  },
  {
    alert: 'ModelRouteSeriesFolded', severity: 'info', labels: 'of="series"',
    fires: both('modelroute_series_folded_total', { 'of="series"': 2 }), quiet: both('modelroute_series_folded_total', { 'of="series"': 0 }),
  },
  {
    alert: 'ModelRouteProxiesRefuse', severity: 'critical', labels: '',
    fires: { 'modelroute_proxies{state="refusing"}': steady(1) }, quiet: { 'modelroute_proxies{state="refusing"}': steady(0), 'modelroute_proxies{state="connected"}': steady(3) },
  },
  {
    alert: 'ModelRouteProxiesBehind', severity: 'warning', labels: '',
    fires: { 'modelroute_proxies{state="behind"}': steady(1) }, quiet: { 'modelroute_proxies{state="behind"}': steady(0) },
  },
  {
    alert: 'ModelRouteNoLeader', severity: 'critical', labels: 'job="c"',
    fires: { 'modelroute_leader{job="c",instance="1"}': steady(0), 'modelroute_leader{job="c",instance="2"}': steady(0) },
    quiet: { 'modelroute_leader{job="c",instance="1"}': steady(0), 'modelroute_leader{job="c",instance="2"}': steady(1) },
  },
  {
    alert: 'ModelRouteResourcesRefused', severity: 'warning', labels: 'kind="ModelRoute"',
    fires: { 'modelroute_resources{instance="1",kind="ModelRoute",state="partial"}': steady(1), 'modelroute_resources{instance="1",kind="ModelRoute",state="accepted"}': steady(8) },
    quiet: { 'modelroute_resources{instance="1",kind="ModelRoute",state="partial"}': steady(0), 'modelroute_resources{instance="1",kind="ModelRoute",state="accepted"}': steady(8) },
  },
  { alert: 'ModelRouteRolloutAborted', severity: 'warning', labels: 'route="ml/a",rule="infer"', fires: phase('Aborted', 1), quiet: phase('Aborted', 0) },
  { alert: 'ModelRouteRolloutWaits', severity: 'info', labels: 'route="ml/a",rule="infer"', fires: phase('AwaitingApproval', 1), quiet: phase('AwaitingApproval', 0) },
  {
    alert: 'ModelRouteWatchFailing', severity: 'critical', labels: 'kind="modelroutes"',
    fires: { 'modelroute_watches{kind="modelroutes",state="failing"}': steady(1) }, quiet: { 'modelroute_watches{kind="modelroutes",state="failing"}': steady(0) },
  },
  {
    alert: 'ModelRouteKubernetesErrors', severity: 'warning', labels: 'job="c"',
    fires: both('modelroute_kubernetes_requests_total', { 'job="c",verb="get",code="200"': 4, 'job="c",verb="get",code="500"': 1 }),
    quiet: both('modelroute_kubernetes_requests_total', { 'job="c",verb="get",code="200"': 4, 'job="c",verb="get",code="404"': 4 }),
  },
  {
    alert: 'ModelRouteWritesFail', severity: 'warning', labels: 'queue="statuses"',
    fires: both('modelroute_reconcile_errors_total', { 'queue="statuses"': 1 }), quiet: both('modelroute_reconcile_errors_total', { 'queue="statuses"': 0 }),
  },
]

/** For `promtool test rules`: all that fires at once, and all that does not. */
export function ruleTests(rules: string): object {
  const one = (which: 'fires' | 'quiet'): object => ({
    interval: '1m',
    input_series: alertCases.flatMap((each) => Object.entries(each[which]).map(([series, values]) => ({ series, values }))),
    promql_expr_test: alertCases.map(({ alert, severity, labels }) => {
      const sample = `ALERTS{alertname="${alert}",alertstate="firing",severity="${severity}"${labels === '' ? '' : `,${labels}`}}`
      return { expr: sample, eval_time: '110m', exp_samples: which === 'fires' ? [{ labels: sample, value: 1 }] : [] }
    }),
  })
  return { rule_files: [rules], evaluation_interval: '1m', tests: [one('fires'), one('quiet')] }
}
