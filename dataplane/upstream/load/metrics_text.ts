import type { Report } from './load.ts'

/** A gauge of a model server, and what it tells. `label`: of several series with this name, those with this label. */
type Gauge = Readonly<{ name: string; tells: keyof Report; label?: string }>

/** What model servers call it. */
const gauges: readonly Gauge[] = [
  { name: 'vllm:num_requests_waiting', tells: 'waiting' },
  { name: 'vllm:num_requests_running', tells: 'running' },
  { name: 'vllm:kv_cache_usage_perc', tells: 'used' },
  // Of vLLM before 0.10.
  { name: 'vllm:gpu_cache_usage_perc', tells: 'used' },
  { name: 'sglang:num_queue_reqs', tells: 'waiting' },
  { name: 'sglang:num_running_reqs', tells: 'running' },
  { name: 'sglang:token_usage', tells: 'used' },
  { name: 'tgi_queue_size', tells: 'waiting' },
  { name: 'tgi_batch_current_size', tells: 'running' },
  { name: 'nv_inference_pending_request_count', tells: 'waiting' },
  { name: 'nv_trt_llm_request_metrics', tells: 'waiting', label: 'request_type="waiting"' },
  { name: 'nv_trt_llm_request_metrics', tells: 'running', label: 'request_type="scheduled"' },
  { name: 'nv_trt_llm_kv_cache_block_metrics', tells: 'used', label: 'kv_cache_block_type="fraction"' },
  { name: 'trtllm_num_requests_waiting', tells: 'waiting' },
  { name: 'trtllm_num_requests_running', tells: 'running' },
  { name: 'trtllm_kv_cache_utilization', tells: 'used' },
  { name: 'llamacpp:requests_deferred', tells: 'waiting' },
  { name: 'llamacpp:requests_processing', tells: 'running' },
]

/**
 * What a page of metrics in Prometheus' text format tells of the load of a model server. Requests of all models and
 * engines of it are added up, since they share the machine; of several caches the fullest counts.
 * @returns undefined where it tells nothing of it
 */
export function readMetrics(page: string): Report | undefined {
  const told = new Map<keyof Report, number>()
  for (const { name, tells, label } of gauges) {
    for (const value of series(page, name, label)) {
      const before = told.get(tells)
      told.set(tells, before === undefined ? value : tells === 'used' ? Math.max(before, value) : before + value)
    }
  }
  if (told.size === 0) return undefined
  return { waiting: told.get('waiting'), running: told.get('running'), used: told.get('used') }
}

function series(page: string, name: string, label: string | undefined): number[] {
  const values: number[] = []
  for (let at = page.indexOf(name); at !== -1; at = page.indexOf(name, at + name.length)) {
    if (at > 0 && page[at - 1] !== '\n') continue
    const newline = page.indexOf('\n', at)
    const line = page.slice(at + name.length, newline === -1 ? undefined : newline)
    // Another name may begin with this one.
    if (line[0] !== ' ' && line[0] !== '{') continue
    const labels = line.lastIndexOf('}') + 1
    if (label !== undefined && !line.slice(0, labels).includes(label)) continue
    const text = line.slice(labels).trim().split(' ', 1)[0] ?? ''
    const value = Number(text)
    if (text !== '' && Number.isFinite(value)) values.push(value)
  }
  return values
}
