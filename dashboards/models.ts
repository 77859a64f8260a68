import type { Dashboard } from './panel.ts'
import { quantile, rate, share } from './requests.ts'

const of = 'route=~"$route"'
const routes = { name: 'route', label: 'Route', metric: 'modelroute_requests_total' }
const byModel = ['route', 'model'] as const
const chats = `${of},variant!=""`

export const tokens: Dashboard = {
  file: 'tokens', title: 'Tokens and cost',
  description: 'What language models read and write, what that costs, how soon they begin, and what caches save.',
  variables: [routes],
  panels: [
    { title: 'Tokens', why: 'In and out, where a limit or the ledger counts them.', unit: 'cps', as: 'stack', queries: [[rate('modelroute_tokens_total', of, ['direction']), '{{direction}}']] },
    { title: 'Tokens by model', why: 'Read and written.', unit: 'cps', as: 'stack', queries: [[rate('modelroute_tokens_total', of, byModel), '{{route}} {{model}}']] },
    { title: 'Tokens in the range', why: 'Over all that is shown.', unit: 'short', as: 'number', queries: [[`sum by (direction) (increase(modelroute_tokens_total{${of}}[$__range]))`, '{{direction}}']] },
    { title: 'Cost of an hour', why: 'At the pace of now, in the unit of the limit or price list.', unit: 'none', queries: [[`3600 * ${rate('modelroute_cost_total', of, byModel)}`, '{{route}} {{model}}']] },
    { title: 'Cost in the range', why: 'Over all that is shown.', unit: 'none', as: 'number', queries: [[`sum by (route) (increase(modelroute_cost_total{${of}}[$__range]))`, '{{route}}']] },
    {
      title: 'Tokens of a request', why: 'On average, of those whose tokens are counted.', unit: 'short',
      queries: [[`${rate('modelroute_tokens_total', of, ['route', 'direction'])} / on (route) group_left ${rate('modelroute_requests_total', of, ['route'])}`, '{{route}} {{direction}}']],
    },
    { title: 'First token, p95', why: 'From the arrival of a request to the first byte of its answer.', unit: 's', queries: [[quantile(0.95, 'modelroute_time_to_first_byte_seconds', chats, ['route', 'variant']), '{{route}} {{variant}}']] },
    { title: 'Whole answer, p95', why: 'From the arrival of a request to its last byte out.', unit: 's', queries: [[quantile(0.95, 'modelroute_request_duration_seconds', chats, ['route', 'variant']), '{{route}} {{variant}}']] },
    { title: 'Answers from the cache', why: 'The share of the requests of rules with a cache.', unit: 'percentunit', queries: [[share('modelroute_cache_requests_total', of, 'result=~"hit|semantic-hit"', ['route']), '{{route}}']] },
    { title: 'Cache', why: 'Requests of rules with a cache by what it had to do with them.', unit: 'reqps', as: 'stack', queries: [[rate('modelroute_cache_requests_total', of, ['result']), '{{result}}']] },
    { title: 'Memory of caches', why: 'That the answers of a rule take.', unit: 'bytes', as: 'stack', queries: [[`sum by (route, rule) (modelroute_cache_bytes{${of}})`, '{{route}}/{{rule}}']] },
    { title: 'Pushed out of caches', why: 'Answers that made room for others before their time.', unit: 'cps', queries: [[rate('modelroute_cache_evictions_total', of, ['route', 'rule']), '{{route}}/{{rule}}']] },
    { title: 'Hits by meaning', why: 'Those for which the model was asked as well: whether it agreed.', unit: 'cps', as: 'stack', queries: [[rate('modelroute_cache_semantic_verified_total', of, ['route', 'result']), '{{route}} {{result}}']] },
  ],
}

const policy = 'policy=~"$policy"'
const decisions = 'modelroute_ratelimit_decisions_total'

export const limits: Dashboard = {
  file: 'limits', title: 'Limits',
  description: 'What limits let pass and refuse. Who is behind it: GET /usage on the admin port of a proxy.',
  variables: [{ name: 'policy', label: 'Policy', metric: decisions }],
  panels: [
    { title: 'Decisions', why: 'Of all limits that are chosen.', unit: 'cps', as: 'stack', queries: [[rate(decisions, policy, ['decision']), '{{decision}}']] },
    { title: 'Refused', why: 'The share that a limit refuses of what it is for.', unit: 'percentunit', queries: [[share(decisions, policy, 'decision=~"rejected|queue_full|queue_timeout"', ['policy', 'limit']), '{{policy}} {{limit}}']] },
    { title: 'Refused by limit', why: 'The largest ten.', unit: 'cps', as: 'stack', queries: [[`topk(10, ${rate(decisions, `${policy},decision=~"rejected|queue_full|queue_timeout"`, ['policy', 'limit'])})`, '{{policy}} {{limit}}']] },
    { title: 'Would be refused', why: 'By limits that only watch (mode: Shadow).', unit: 'cps', queries: [[rate(decisions, `${policy},decision="shadow_rejected"`, ['policy', 'limit']), '{{policy}} {{limit}}']] },
    { title: 'Counts out of reach', why: 'Refused because the counts could not be reached: look at Redis.', unit: 'cps', queries: [[rate(decisions, `${policy},decision="unavailable"`, ['policy', 'limit']), '{{policy}} {{limit}}']] },
    { title: 'Waited in vain', why: 'Requests that waited for a limit and had to go, or found too many waiting.', unit: 'cps', as: 'stack', queries: [[rate(decisions, `${policy},decision=~"queue_.*"`, ['policy', 'limit', 'decision']), '{{policy}} {{limit}} {{decision}}']] },
    { title: 'Answered 429', why: 'By route.', unit: 'reqps', as: 'stack', queries: [['sum by (route) (rate(modelroute_requests_total{code="429"}[$__rate_interval]))', '{{route}}']] },
  ],
}

const watched = `${of},variant!=""`
const name = '{{route}}/{{rule}} {{variant}}'
const byVariant = ['route', 'rule', 'variant'] as const

export const upstreams: Dashboard = {
  file: 'upstreams', title: 'Backends',
  description: 'How model servers are, and what the gateway does about it.',
  variables: [routes],
  panels: [
    { title: 'Circuits', why: '0 closed, 1 half-open, 2 open: the worst of all proxies.', unit: 'none', queries: [[`max by (${byVariant.join(', ')}) (modelroute_circuit_state{${of}})`, name]] },
    { title: 'Endpoints', why: 'By state, as a proxy sees them on average.', unit: 'short', as: 'stack', queries: [[`sum by (state) (avg by (route, rule, variant, state) (modelroute_endpoint_state{${of}}))`, '{{state}}']] },
    { title: 'Endpoints that are out', why: 'Unhealthy by their own answers, or left out because requests failed.', unit: 'short', queries: [[`sum by (${byVariant.join(', ')}) (modelroute_endpoint_state{${of},state=~"unhealthy|ejected"})`, name]] },
    { title: 'Backend, p95', why: 'From sending the request to the last byte of the answer.', unit: 's', queries: [[quantile(0.95, 'modelroute_upstream_duration_seconds', watched, byVariant), name]] },
    { title: 'Waiting', why: 'For a place (maxRequests) or for an endpoint (wakeUp).', unit: 'short', as: 'stack', queries: [[`sum by (route, rule, variant, for) (modelroute_waiting_requests{${of}})`, `${name} {{for}}`]] },
    { title: 'Tries again', why: 'After the first, by why.', unit: 'cps', as: 'stack', queries: [[rate('modelroute_retries_total', of, ['route', 'variant', 'reason']), '{{route}} {{variant}} {{reason}}']] },
    { title: 'Second requests', why: 'Beside a slow first, by whether theirs was the answer.', unit: 'cps', as: 'stack', queries: [[rate('modelroute_hedges_total', of, ['route', 'variant', 'result']), '{{route}} {{variant}} {{result}}']] },
    { title: 'Fallbacks', why: 'Requests that a variant could not take, and who did.', unit: 'cps', as: 'stack', queries: [[rate('modelroute_fallbacks_total', of, ['route', 'variant', 'to', 'error']), '{{route}} {{variant}} → {{to}} ({{error}})']] },
    { title: 'Joined predictions', why: 'Requests of rules that join them, by how they were asked for.', unit: 'cps', as: 'stack', queries: [[rate('modelroute_batch_requests_total', of, ['route', 'result']), '{{route}} {{result}}']] },
    { title: 'Rows of a call', why: 'On average, of calls that several requests were joined in.', unit: 'short', queries: [[`${rate('modelroute_batch_size_sum', of, ['route'])} / ${rate('modelroute_batch_size_count', of, ['route'])}`, '{{route}}']] },
    { title: 'Wait for others, p95', why: 'Of requests that were joined.', unit: 's', queries: [[quantile(0.95, 'modelroute_batch_wait_seconds', of, ['route']), '{{route}}']] },
    { title: 'Steps of compositions', why: 'By what became of them.', unit: 'cps', as: 'stack', queries: [[rate('modelroute_steps_total', of, ['route', 'variant', 'result']), '{{route}} {{variant}} {{result}}']] },
    { title: 'Bodies checked', why: 'By whether they fit.', unit: 'cps', as: 'stack', queries: [[rate('modelroute_validations_total', of, ['route', 'side', 'result']), '{{route}} {{side}} {{result}}']] },
    { title: 'Plugins', why: 'Requests that they saw, by what became of them.', unit: 'cps', as: 'stack', queries: [['sum by (plugin, result) (rate(modelroute_plugin_calls_total[$__rate_interval]))', '{{plugin}} {{result}}']] },
  ],
}
