import type { Registry } from 'prom-client'
import { boundText, labelText, type Combine, type Family, type Sample } from './family.ts'

/** What prom-client counts, to be told with the rest. Its aggregators are ours by name. */
export async function familiesOf(registry: Registry): Promise<Family[]> {
  const all = await registry.getMetricsAsJSON()
  return all.map(({ name, help, type, aggregator, values }, at): Family => {
    const samples = values.map(({ labels, value, ...more }): Sample => {
      const names = Object.keys(labels)
      const suffix = 'metricName' in more && typeof more.metricName === 'string' ? more.metricName.slice(name.length) : ''
      return { labels: labelText(names, names.map((each) => each === 'le' ? boundOf(labels[each]) : String(labels[each] ?? ''))), value, suffix }
    })
    const labels: readonly string[] = Reflect.get(registry.getMetricsAsArray()[at] ?? {}, 'labelNames') ?? []
    return { name, help, type: typeOf(String(type)), labels, combine: combineOf(aggregator), rows: () => samples }
  })
}

const boundOf = (bound: string | number | undefined): string => typeof bound === 'number' ? boundText(bound) : bound ?? ''

function typeOf(type: string): 'counter' | 'gauge' | 'histogram' {
  return type === 'counter' || type === 'histogram' ? type : 'gauge'
}

function combineOf(aggregator: string): Combine {
  return aggregator === 'max' || aggregator === 'min' || aggregator === 'average' ? aggregator : 'sum'
}
