import type { Dashboard, Panel } from './panel.ts'

/** Histogram quantile of what is chosen, by these labels. */
export const quantile = (q: number, metric: string, where: string, by: readonly string[]): string =>
  `histogram_quantile(${q}, sum by (${[...by, 'le'].join(', ')}) (rate(${metric}_bucket{${where}}[$__rate_interval])))`

/** The share that holds to `of`, of all, by these labels. */
export const share = (metric: string, where: string, of: string, by: readonly string[]): string => {
  const sum = (more: string) => `sum by (${by.join(', ')}) (rate(${metric}{${where}${more}}[$__rate_interval]))`
  return `(${sum(`,${of}`)} or 0 * ${sum('')}) / ${sum('')}`
}

export const rate = (metric: string, where: string, by: readonly string[]): string =>
  `sum by (${by.join(', ')}) (rate(${metric}{${where}}[$__rate_interval]))`

const of = 'route=~"$route"'
const requests = 'modelroute_requests_total'
const routes = { name: 'route', label: 'Route', metric: requests }

export const overview: Dashboard = {
  file: 'gateway', title: 'Gateway',
  description: 'What comes in, how it ends, how long it takes, and how the proxies are.',
  variables: [routes],
  panels: [
    { title: 'Requests', why: 'By route, the largest ten.', unit: 'reqps', as: 'stack', queries: [[`topk(10, ${rate(requests, of, ['route'])})`, '{{route}}']] },
    { title: 'Errors', why: 'The share of requests that end with a 5xx, by route.', unit: 'percentunit', queries: [[share(requests, of, 'code=~"5.."', ['route']), '{{route}}']] },
    {
      title: 'Duration', why: 'From the arrival of a request to its last byte out, of all routes that are chosen.', unit: 's',
      queries: [0.5, 0.95, 0.99].map((q) => [quantile(q, 'modelroute_request_duration_seconds', of, []), `p${q * 100}`] as const),
    },
    { title: 'Statuses', why: 'Requests by HTTP status.', unit: 'reqps', as: 'stack', queries: [[rate(requests, of, ['code']), '{{code}}']] },
    { title: 'Errors by code', why: 'What the gateway answered in place of a backend; the codes are in docs/errors.md.', unit: 'reqps', as: 'stack', queries: [[rate(requests, `${of},error!=""`, ['error']), '{{error}}']] },
    { title: 'In flight', why: 'Requests not answered completely yet.', unit: 'short', as: 'stack', queries: [[`sum by (route) (modelroute_inflight_requests{${of}})`, '{{route}}']] },
    { title: 'Late event loop', why: 'How late each proxy is with everything; beyond 300 ms it refuses requests.', unit: 's', queries: [['modelroute_event_loop_lag_seconds', '{{instance}}']] },
    { title: 'Processors', why: 'Processors that each proxy and controller keeps busy.', unit: 'none', queries: [['rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) modelroute_table_age_seconds', '{{instance}}']] },
    { title: 'Memory', why: 'Of each proxy.', unit: 'bytes', queries: [['process_resident_memory_bytes and on (instance) modelroute_table_age_seconds', '{{instance}}']] },
    { title: 'Connections and files', why: 'Open in each proxy.', unit: 'short', queries: [['process_open_fds and on (instance) modelroute_table_age_seconds', '{{instance}}']] },
    { title: 'Age of the table', why: 'Since a controller last said that it is what it should be.', unit: 's', queries: [['modelroute_table_age_seconds', '{{instance}}']] },
    { title: 'Tables in force', why: 'Proxies by the version of their table.', unit: 'short', as: 'stack', queries: [['count by (version) (modelroute_table_version_info)', '{{version}}']] },
    { title: 'Counted as other', why: 'What found no room to be told apart; docs/metrics.md says what the bounds are.', unit: 'cps', queries: [['sum by (of) (rate(modelroute_series_folded_total[$__rate_interval]))', '{{of}}']] },
  ],
}

const variant = `${of},variant!=""`
const byVariant = ['route', 'rule', 'variant', 'model_version'] as const
const name = '{{route}}/{{rule}} {{variant}} {{model_version}}'
const quantileByVariant = (title: string, why: string, q: number, metric: string): Panel => ({ title, why, unit: 's', queries: [[quantile(q, metric, variant, byVariant), name]] })

export const canary: Dashboard = {
  file: 'canary', title: 'Versions beside each other',
  description: 'The variants of a route in comparison: shares, errors, times, and what their rollout makes of it.',
  variables: [routes],
  panels: [
    { title: 'Requests', why: 'By variant and version.', unit: 'reqps', as: 'stack', queries: [[rate(requests, variant, byVariant), name]] },
    {
      title: 'Share', why: 'Of the requests of its rule that a variant got.', unit: 'percentunit', as: 'stack',
      queries: [[`${rate(requests, variant, byVariant)} / on (route, rule) group_left ${rate(requests, variant, ['route', 'rule'])}`, name]],
    },
    { title: 'Share that is wanted', why: 'Of rules that are rolled out, as the controller has it.', unit: 'percentunit', queries: [[`modelroute_rollout_share{${of}}`, '{{route}}/{{rule}} {{variant}}']] },
    { title: 'Errors', why: 'The share that ends with a 5xx.', unit: 'percentunit', queries: [[share(requests, variant, 'code=~"5.."', byVariant), name]] },
    quantileByVariant('Duration, p50', 'Half of the requests are faster.', 0.5, 'modelroute_request_duration_seconds'),
    quantileByVariant('Duration, p99', 'One of a hundred is slower.', 0.99, 'modelroute_request_duration_seconds'),
    quantileByVariant('Backend, p95', 'From sending the request to the last byte of the answer.', 0.95, 'modelroute_upstream_duration_seconds'),
    quantileByVariant('First byte, p95', 'From the arrival of a request to the first byte of its answer.', 0.95, 'modelroute_time_to_first_byte_seconds'),
    { title: 'In flight', why: 'Requests not answered completely yet.', unit: 'short', queries: [[`sum by (${byVariant.join(', ')}) (modelroute_inflight_requests{${variant}})`, name]] },
    { title: 'Copies compared', why: 'Answers of a shadow beside those that callers got.', unit: 'reqps', as: 'stack', queries: [[rate('modelroute_mirror_compared_total', of, ['route', 'variant', 'result']), '{{route}} {{variant}} {{result}}']] },
    { title: 'Copies', why: 'What became of requests that were to be copied.', unit: 'reqps', as: 'stack', queries: [[rate('modelroute_mirror_requests_total', of, ['route', 'variant', 'result']), '{{route}} {{variant}} {{result}}']] },
    { title: 'Gates', why: 'What a gate measured, of the candidate and of stable.', unit: 'none', queries: [[`modelroute_rollout_gate{${of},figure="value"}`, '{{route}}/{{rule}} {{gate}} {{of}}']] },
  ],
}
