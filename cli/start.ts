import { fileURLToPath } from 'node:url'
import { curlLines } from '../examples/quickstart/requests.ts'
import { PORTS, startModelServer } from '../examples/quickstart/server.ts'
import type { Options } from './flags.ts'
import { untilEnd } from './lifetime.ts'
import { startServing } from './serve.ts'

/** The quickstart: the gateway over examples/quickstart, and the two model servers that its manifests name. */
export async function start(options: Options<'start'>): Promise<number> {
  const folder = fileURLToPath(new URL('../examples/quickstart', import.meta.url))
  const models = await Promise.all(
    (['1', '2'] as const).map((version) => startModelServer({ version, port: PORTS[version], host: '127.0.0.1' })),
  )
  const served = await startServing({ ...options, filename: [folder] })
  await served.started
  process.stdout.write(`
ModelRoute is at ${served.url}; its manifests are in ${folder}, and an edit takes effect at once. Try:

${curlLines(served.url).join('\n')}

`)
  return untilEnd(async () => {
    await served.end()
    await Promise.all(models.map((model) => model.close()))
  }, served.started)
}
