import { PORTS, startModelServer } from './server.ts'

/** The two model servers by themselves, for the tutorials: `node servers.ts [PORT PORT]`. They end with Ctrl-C. */

const [first = PORTS['1'], second = PORTS['2']] = process.argv.slice(2).map(Number)
try {
  for (const [version, port] of [['1', first], ['2', second]] as const) {
    const { url } = await startModelServer({ version, port, host: '127.0.0.1' })
    console.log(`version ${version} of the model fraud is at ${url}`)
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
