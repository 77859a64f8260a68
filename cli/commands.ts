/** Every command there is. */
export const commands = {
  serve: 'one process: manifests from files in, gateway out',
  controller: 'compile resources of a cluster, or of files, and push the tables to proxies',
  dataplane: 'one proxy, fed by a controller',
  check: 'parse, validate and compile manifests; a line a problem',
  explain: 'what the gateway would do with a request, and why, consuming nothing',
  key: 'make, replace, revoke and list API keys; a key is shown once, and its digest kept',
  mirrors: 'what became of the copies of requests, and how their answers differ',
  rollout: 'show rollouts and steer them: status, promote, pause, resume, abort, undo, retry, set-weight',
  start: 'the quickstart: `serve` over examples/quickstart, with its model servers',
} as const

export type Command = keyof typeof commands

/** What a command takes besides flags, in order; a name in brackets may be left out. */
const operands = {
  explain: ['METHOD', 'URL'],
  key: ['ACTION'],
  rollout: ['ACTION', 'ROUTE', '[RULE]'],
} as const satisfies Partial<Record<Command, readonly string[]>>

export type WithOperands = keyof typeof operands

export const isCommand = (word: string): word is Command => Object.hasOwn(commands, word)

export function operandsOf(command: Command): readonly string[] | undefined {
  const all: Readonly<Partial<Record<Command, readonly string[]>>> = operands
  return all[command]
}
