import { spawnSync } from 'node:child_process'
import { bridgeAddress, inNamespace } from '../../test/cluster/netns.ts'
import { measureScale, parts } from './measure.ts'

/**
 * `npm run bench:scale [-- --routes N] [--proxies N] [--parts PART,…] [--edits N] [--node-flags FLAGS]`
 *
 * A real kube-apiserver and etcd, a real controller over them, simulated and real proxies over mutual TLS, in a network
 * namespace of their own. Prints its tables in Markdown, and exits 1 past a line. Needs what test/cluster needs.
 */
const argument = (name: string) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : process.argv[at + 1] ?? ''
}
const chosen = argument('parts')?.split(',') ?? parts
for (const word of chosen) if (!parts.some((part) => part === word)) throw new Error(`${word} is none of ${parts.join(', ')}`)

if (bridgeAddress() === undefined) {
  const [command, ...words] = inNamespace([process.execPath, ...process.argv.slice(1)])
  process.exitCode = spawnSync(command, words, { stdio: 'inherit' }).status ?? 1
} else {
  const held = await measureScale({
    routes: Number(argument('routes') ?? 5000),
    proxies: Number(argument('proxies') ?? 200),
    edits: Number(argument('edits') ?? 200),
    parts: chosen,
    controllerFlags: argument('node-flags')?.split(' ') ?? [],
  })
  process.exit(held ? 0 : 1)
}
