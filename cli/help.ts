import { type Command, commands } from './commands.ts'
import type { Flag } from './flag.ts'
import { flagsOf, variableOf } from './flags.ts'

const EXIT = 'Exit codes: 0 ok, 1 failed, 2 usage. SIGTERM drains and exits 0.'

export function overview(): string {
  const rows = Object.entries(commands).map(([name, line]) => `  ${name.padEnd(12)}${line}`)
  return `ModelRoute, an inference gateway for people who serve models on Kubernetes.

Usage: modelroute COMMAND [FLAGS]

${rows.join('\n')}

  modelroute COMMAND --help    the flags of a command
  modelroute --version

${EXIT}
`
}

export function valueName({ type, value, choices }: Flag): string {
  if (type === 'switch') return ''
  return ` ${choices?.join('|') ?? value ?? { port: 'PORT', duration: 'DURATION', count: 'N', text: 'TEXT', list: 'TEXT' }[type]}`
}

export const usage: Readonly<Record<Command, string>> = {
  serve: '-f PATH… [FLAGS]',
  controller: '[-f PATH…] [FLAGS]',
  dataplane: '--controller URL… [FLAGS]',
  check: '-f PATH… [-o json]',
  explain: "-f PATH… METHOD URL [-H 'NAME: VALUE']… [-d BODY] [--as CONSUMER]",
  import: 'FILE [--hostname HOST]… [--path PATH]',
  key: 'create|rotate|revoke|list --consumer NAME [-n NS] [-o FILE | --apply]',
  mirrors: '[--admin URL] [-o json]',
  predictions: '[--admin URL] [-o json]',
  replay: 'FILE --against PATH… [--from PATH…] [-o json] [--fail-on-change]',
  rollout: 'status|promote|pause|resume|abort|undo|retry|set-weight ROUTE [RULE] [-n NS] [--control URL]',
  selftest: '--through NAME=URL… --service NAME [-n NS] [--timeout DURATION]',
  sidecar: '--tls-cert FILE --tls-key FILE --client-ca FILE (--fleet URL | --inject-mode server --inject-port PORT --controller URL…) [FLAGS]',
  usage: '--ledger FILE… [--by NAMES] [--since TIME] [--prices FILE] [-o csv|json]',
  top: '[--admin URL | --control URL] [-n NS] [--filter WORDS] [--sort BY] [-o json]',
  start: '[FLAGS]',
}

export function helpOf(command: Command): string {
  const rows = flagsOf(command).map((flag) => {
    const short = flag.short === undefined ? '    ' : `-${flag.short}, `
    const fallback = flag.of[command]
    const notes = [
      ...(flag.type === 'list' ? ['repeatable'] : []),
      ...(typeof fallback === 'string' ? [`default ${fallback}`] : []),
      variableOf(flag),
    ]
    return `  ${short}--${flag.name}${valueName(flag)}\n        ${flag.help} (${notes.join('; ')})`
  })
  return `modelroute ${command}: ${commands[command]}

Usage: modelroute ${command} ${usage[command]}

${rows.join('\n')}

A flag wins over its environment variable; in one, repeatable values are separated by commas.
${EXIT}
`
}
