import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Load } from './load.ts'
import { readMetrics } from './metrics_text.ts'
import { reportIn } from './orca.ts'
import { createReports, type Reporting } from './reports.ts'

test('metrics of each kind of model server say what waits, what runs and what is used up', () => {
  const pages: readonly (readonly [page: string, waiting: number | undefined, running: number | undefined, used: number | undefined])[] = [
    ['# HELP vllm:num_requests_running Number of requests\n# TYPE vllm:num_requests_running gauge\n' +
      'vllm:num_requests_running{engine="0",model_name="m"} 8.0\nvllm:num_requests_running{engine="1",model_name="m"} 2.0\n' +
      'vllm:num_requests_waiting{engine="0",model_name="a} 9"} 3.0\nvllm:num_requests_waiting_by_reason{reason="capacity"} 77.0\n' +
      'vllm:kv_cache_usage_perc{engine="0"} 0.25\nvllm:kv_cache_usage_perc{engine="1"} 0.5\n', 3, 10, 0.5],
    ['vllm:gpu_cache_usage_perc{model_name="m"} 0.125', undefined, undefined, 0.125],
    ['sglang:num_queue_reqs{model_name="m"} 2\nsglang:num_running_reqs{model_name="m"} 5\nsglang:token_usage{model_name="m"} 0.75\n', 2, 5, 0.75],
    ['tgi_queue_size 4\ntgi_batch_current_size 6\ntgi_queue_size_other 9\n', 4, 6, undefined],
    ['nv_inference_pending_request_count{model="a",version="1"} 1\nnv_inference_pending_request_count{model="b",version="1"} 2 1700000000000\n', 3, undefined, undefined],
    ['nv_trt_llm_request_metrics{model="t",request_type="waiting",version="1"} 7\nnv_trt_llm_request_metrics{model="t",request_type="max",version="1"} 512\n' +
      'nv_trt_llm_request_metrics{model="t",request_type="scheduled",version="1"} 3\n' +
      'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="t"} 0.5\nnv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="t"} 6239\n', 7, 3, 0.5],
    ['trtllm_num_requests_waiting 1\ntrtllm_num_requests_running 2\ntrtllm_kv_cache_utilization 0.1\n', 1, 2, 0.1],
    ['llamacpp:requests_processing 1\nllamacpp:requests_deferred 4\n', 4, 1, undefined],
  ]
  for (const [page, waiting, running, used] of pages) assert.deepEqual(readMetrics(page), { waiting, running, used }, page)
})

test('a page that tells nothing of the load, or nonsense, is none', () => {
  const pages = ['', 'process_cpu_seconds_total 1\n', '# vllm:num_requests_waiting 3\n', 'vllm:num_requests_waiting{model="m"} NaN\n',
    'vllm:num_requests_waiting\n', 'vllm:num_requests_waiting{', 'x_vllm:num_requests_waiting 3\n', 'tgi_queue_size +Inf\n', '<html>tgi_queue_size 3']
  for (const page of pages) assert.equal(readMetrics(page), undefined, page)
})

/** What protobuf makes of named metrics and an application utilization. */
const protobuf = (named: Readonly<Record<string, number>>, utilization: number): string => {
  const double = (tag: number, value: number) => {
    const bytes = Buffer.alloc(9)
    bytes[0] = tag
    bytes.writeDoubleLE(value, 1)
    return bytes
  }
  const entries = Object.entries(named).map(([name, value]) => {
    const entry = Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name), double(0x11, value)])
    return Buffer.concat([Buffer.from([0x42, entry.length]), entry])
  })
  // A field of each wire type that nobody asks about stands before.
  return Buffer.concat([Buffer.from([0x18, 0xac, 0x02]), double(0x09, 0.9), ...entries, double(0x49, utilization)]).toString('base64')
}

test('reports of load are read from the headers of an answer in each of their forms', () => {
  const both = { waiting: 3, running: undefined, used: 0.4 }
  for (const [name, value] of [
    ['endpoint-load-metrics', 'TEXT named_metrics.kv_cache_usage_perc=0.4, named_metrics.num_requests_waiting=3.0'],
    ['Endpoint-Load-Metrics', 'TEXT named_metrics.kv_cache_utilization=0.4,named_metrics.num_requests_waiting=3,cpu_utilization=0.9'],
    ['endpoint-load-metrics', 'JSON {"cpu_utilization":0.9,"named_metrics":{"kv_cache_usage_perc":0.4,"num_requests_waiting":3,"text":"x"}}'],
    ['endpoint-load-metrics', `BIN ${protobuf({ num_requests_waiting: 3, kv_cache_usage_perc: 0.4 }, 0.7)}`],
    ['endpoint-load-metrics-bin', protobuf({ num_requests_waiting: 3, kv_cache_usage_perc: 0.4 }, 0.7)],
  ] as const) assert.deepEqual(reportIn(['date', 'now', name, value, 'x', 'y']), both, value)
  assert.deepEqual(reportIn(['endpoint-load-metrics-bin', protobuf({}, 0.7)]), { waiting: undefined, running: undefined, used: 0.7 })
})

test('a report that is none, or hostile, is not read', () => {
  for (const value of [
    '', 'TEXT', 'TEXT ', 'JSON', 'JSON {', 'JSON []', 'JSON null', 'JSON 3', 'JSON {"named_metrics":null}', 'TEXT named_metrics.num_requests_waiting=', 'XML <a/>',
    'TEXT named_metrics.num_requests_waiting=many', 'JSON {"named_metrics":{"num_requests_waiting":"3"}}', `TEXT ${'a=1,'.repeat(2000)}`, 'BIN !!!!', 'BIN QgIKAw==',
    'JSON {"__proto__":{"num_requests_waiting":3}}', `JSON ${'['.repeat(2000)}`,
  ]) assert.equal(reportIn(['endpoint-load-metrics', value]), undefined, value)
  for (const bytes of [[0x42, 0xff, 0xff, 0xff, 0xff, 0x0f], [0x49, 0], [0x42], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0x42, 0x00], [0x0b]]) {
    assert.equal(reportIn(['endpoint-load-metrics-bin', Buffer.from(bytes).toString('base64')]), undefined)
  }
})

test('a load: our own requests are not taken for those of others, and bounds hold', () => {
  const load = new Load()
  assert.equal(load.trust(0), 0)
  load.report({ waiting: 2, running: 8, used: 1.5 }, 7, 0)
  assert.deepEqual([load.waiting, load.others, load.used, load.trust(0)], [2, 3, 1, 1])
  load.report({ waiting: -1, running: 3 }, 7, 100)
  assert.deepEqual([load.waiting, load.others, load.used], [0, 0, 1])
  assert.ok(load.trust(5000) > 0 && load.trust(5000) < 1)
  load.report({ waiting: 1 }, 0, 20_000)
  assert.deepEqual([load.others, load.used], [1, 0], 'what was told long ago is as good as nothing')
  load.report({ waiting: 1 }, 0, 20_000, 10)
  assert.equal(load.trust(38_000), 1, 'where there are many to ask, each may be older')
})

const page = 'vllm:num_requests_waiting 1\nvllm:num_requests_running 2\n'

test('endpoints in use are asked about once a second, together and not more often for two rules', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  const asked = new Map<Reporting, number>()
  const now = { at: 0 }
  const members = Array.from({ length: 3 }, (_, i): Reporting =>
    ({ inFlight: 0, full: false, label: String(i), zone: undefined, since: 0, latency: undefined, load: undefined }))
  const reports = createReports<Reporting>({
    page(member) {
      asked.set(member, (asked.get(member) ?? 0) + 1)
      return Promise.resolve(member.label === '2' ? 'nothing 1\n' : page)
    },
    clock: () => now.at,
    random: () => 0.5,
  })
  const group = { members }
  const pass = async (milliseconds: number) => {
    for (let i = 0; i < milliseconds; i += 100) {
      now.at += 100
      t.mock.timers.tick(100)
      // Answers are promises.
      for (let turn = 0; turn < 4; turn++) await Promise.resolve()
    }
  }
  reports.follow(group)
  reports.follow({ members: members.slice(0, 2) })
  await pass(10_000)
  for (const member of members.slice(0, 2)) {
    assert.ok((asked.get(member) ?? 0) >= 9 && (asked.get(member) ?? 0) <= 11, `${asked.get(member)} times in ten seconds`)
    assert.equal(member.load?.others, 3)
  }
  assert.ok((asked.get(members[2]!) ?? 0) <= 4, 'one that tells nothing is asked less and less')
  assert.equal(members[2]?.load, undefined)
  await pass(25_000)
  asked.clear()
  await pass(20_000)
  assert.equal(asked.size, 0, 'nobody has used them for half a minute')
  reports.follow({ members: members.slice(0, 1) })
  await pass(3000)
  assert.equal(asked.size, 0, 'of one there is nothing to choose')
  reports.close()
})

test('of very many endpoints each is asked less often, and few at once', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  const now = { at: 0 }
  let [asked, atOnce, most] = [0, 0, 0]
  const open: (() => void)[] = []
  const members = Array.from({ length: 1000 }, (_, i): Reporting =>
    ({ inFlight: 0, full: false, label: String(i), zone: undefined, since: 0, latency: undefined, load: undefined }))
  const reports = createReports<Reporting>({
    page() {
      asked++
      most = Math.max(most, ++atOnce)
      return new Promise((resolve) => {
        open.push(() => {
          atOnce--
          resolve(page)
        })
      })
    },
    clock: () => now.at,
    random: () => 0.5,
  })
  reports.follow({ members })
  for (let i = 0; i < 200; i++) {
    now.at += 100
    t.mock.timers.tick(100)
    for (const answer of open.splice(0)) answer()
    for (let turn = 0; turn < 4; turn++) await Promise.resolve()
  }
  assert.ok(most <= 32, `${most} at once`)
  assert.ok(asked >= 3000 && asked <= 5000, `${asked} in 20 seconds`)
  assert.ok(members.every(({ load }) => load !== undefined), 'nobody is left out')
  reports.close()
})
