import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'

/** examples/sidecar, with programs to run in place of its images. */

const root = join(import.meta.dirname, '../..')
export const body = JSON.stringify({ inputs: [{ name: 'amount', shape: [1], datatype: 'FP32', data: [120] }] })
export const path = '/v2/models/fraud/infer'

/** Asks through its sidecar until it is answered, and once more when it is told to end. */
const application = `
const ask = async (when) => {
  try {
    const response = await fetch('http://127.0.0.1:15080${path}', { method: 'POST', body: ${JSON.stringify(body)}, headers: { 'x-api-key': 'k1' } })
    console.log(when, response.status, response.headers.get('x-modelroute-variant'), (await response.text()).length > 20)
    return response.status
  } catch (error) { console.log(when, String(error.cause ?? error)) }
}
process.on('SIGTERM', async () => { await ask('at the end'); process.exit() })
console.log('first', await ask('at once'))
while (await ask('asked') !== 200) await new Promise((done) => setTimeout(done, 200))
setInterval(() => {}, 1000)`

/** The quickstart's; what asks for it with `x-hold` is answered once the server is told to end. */
const model = `
import { createServer } from 'node:http'
import { startModelServer } from '/app/examples/quickstart/server.ts'
const { url } = await startModelServer({ version: '1', port: 0, host: '127.0.0.1' })
let end
const told = new Promise((resolve) => { end = resolve })
const server = createServer(async (request, response) => {
  const body = await request.toArray()
  if (request.headers['x-hold']) {
    console.log('held')
    await told
  }
  const { method } = request
  const answer = await fetch(url + request.url, { method, ...(method === 'POST' && { body: Buffer.concat(body) }) })
  response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text())
}).listen(8000, '127.0.0.1')
process.on('SIGTERM', () => {
  end()
  server.close(() => process.exit())
})`

export type Spec = {
  initContainers?: { name: string, restartPolicy?: string }[]
  containers: { name: string, command?: string[], lifecycle?: object }[]
  volumes?: { name: string }[]
}
export type Workload = { kind: string, metadata: { name: string, namespace: string }, spec: { template: { metadata: { labels: Record<string, string> }, spec: Spec } } }

export function example(name: 'application' | 'model-server'): readonly Workload[] {
  const objects = parseAllDocuments(readFileSync(join(root, `examples/sidecar/${name}.yaml`), 'utf8')).map((document) => document.toJS() as Workload)
  const program = name === 'application' ? application : model
  Object.assign(objects[0]?.spec.template.spec.containers[0] ?? {}, { command: ['node', '--input-type=module', '-e', program] })
  return objects
}

/** The namespace that they are in, and the key that they call with. */
export const surroundings = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ml', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } },
  {
    apiVersion: 'v1', kind: 'Secret', type: 'Opaque',
    metadata: { name: 'k1', namespace: 'ml', labels: { 'modelroute.io/credential': 'api-key' }, annotations: { 'modelroute.io/consumer': 'shop' } },
    stringData: { keySha256: createHash('sha256').update('k1').digest('hex') },
  },
]

/** Values of the chart for them. */
export const values = 'sidecar.enabled=true,sidecar.namespaces={ml},secretNamespaces={ml},gateways[0].name=default,gateways[1].name=guard,gateways[1].replicas=0,' +
  'gatewayDefaults.replicas=1,gatewayDefaults.drain.delaySeconds=0'
