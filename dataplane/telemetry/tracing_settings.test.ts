import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tracingSettings } from './tracing_settings.ts'

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }

function read(variables: Readonly<Record<string, string>>) {
  const ignored: (string | undefined)[] = []
  const settings = tracingSettings(variables, (_message, { variable }) => ignored.push(variable))
  return { settings, ignored }
}

test('nothing is traced until there is somewhere to send it, or where that is switched off', () => {
  for (const variables of [
    {}, { OTEL_TRACES_SAMPLER: 'always_on' }, { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, { ...endpoint, OTEL_SDK_DISABLED: 'TRUE' }, { ...endpoint, OTEL_TRACES_EXPORTER: 'none' },
  ]) assert.deepEqual(read(variables), { settings: undefined, ignored: [] })
  assert.deepEqual(read({ ...endpoint, OTEL_TRACES_EXPORTER: 'zipkin' }), { settings: undefined, ignored: ['OTEL_TRACES_EXPORTER'] })
})

test('an endpoint is enough, also one for traces alone', () => {
  const settings = { protocol: 'http/protobuf', sampling: { ratio: 1, parentBased: true }, queue: { most: 2048, batch: 512, delay: 5000, timeout: 30_000 } }
  assert.deepEqual(read(endpoint), { settings, ignored: [] })
  assert.deepEqual(read({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318/v1/traces', OTEL_TRACES_EXPORTER: 'console,otlp' }), { settings, ignored: [] })
})

test('the standard samplers are known, and take their ratio', () => {
  const sampling = (name: string, ratio?: string) => read({ ...endpoint, OTEL_TRACES_SAMPLER: name, ...(ratio !== undefined && { OTEL_TRACES_SAMPLER_ARG: ratio }) }).settings?.sampling
  assert.deepEqual(sampling('parentbased_traceidratio', '0.01'), { ratio: 0.01, parentBased: true })
  assert.deepEqual(sampling('traceidratio', '0.5'), { ratio: 0.5, parentBased: false })
  assert.deepEqual(sampling('traceidratio'), { ratio: 1, parentBased: false })
  assert.deepEqual(sampling('always_off'), { ratio: 0, parentBased: false })
  assert.deepEqual(sampling('parentbased_always_off', '1'), { ratio: 0, parentBased: true })
  assert.deepEqual(sampling('always_on', '0.1'), { ratio: 1, parentBased: false })
})

test('what is said for traces goes before what is said for all, and a batch is no larger than the queue', () => {
  const { settings } = read({
    ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'grpc', OTEL_BSP_MAX_QUEUE_SIZE: '100', OTEL_BSP_SCHEDULE_DELAY: '10', OTEL_BSP_EXPORT_TIMEOUT: '20',
  })
  assert.deepEqual([settings?.protocol, settings?.queue], ['grpc', { most: 100, batch: 100, delay: 10, timeout: 20 }])
})

test('a value that means nothing is as if it were not there, and is told', () => {
  const variables = {
    OTEL_EXPORTER_OTLP_PROTOCOL: 'carrier-pigeon', OTEL_TRACES_SAMPLER: 'some', OTEL_BSP_MAX_QUEUE_SIZE: '0', OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '1.5', OTEL_BSP_SCHEDULE_DELAY: 'soon', OTEL_BSP_EXPORT_TIMEOUT: '-1',
  }
  const { settings, ignored } = read({ ...endpoint, ...variables })
  assert.deepEqual(settings, read(endpoint).settings)
  assert.deepEqual(new Set(ignored), new Set(Object.keys(variables)))
  assert.deepEqual(read({ ...endpoint, OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '2' }), { settings: { ...settings, sampling: { ratio: 1, parentBased: false } }, ignored: ['OTEL_TRACES_SAMPLER_ARG'] })
})
