/** Every command there is. */
export const commands = {
  serve: 'one process: manifests from files in, gateway out',
  controller: 'compile resources of a cluster, or of files, and push the tables to proxies',
  dataplane: 'one proxy, fed by a controller',
  check: 'parse, validate and compile manifests; a line a problem',
  replay: 'recorded requests against proposed manifests: what would be decided differently',
  explain: 'what the gateway would do with a request, and why, consuming nothing',
  import: 'make routes of InferenceGraphs of KServe; a line for what they do otherwise',
  key: 'make, replace, revoke and list API keys; a key is shown once, and its digest kept',
  mirrors: 'what became of the copies of requests, and how their answers differ',
  predictions: 'what models were asked and answered by version, and how far that has moved',
  rollout: 'show rollouts and steer them: status, promote, pause, resume, abort, undo, retry, set-weight',
  selftest: 'whether an installation works: makes a route to itself, and asks for it through every gateway (helm test)',
  sidecar: 'the proxy beside one application (--inject-mode client) or one model server (server)',
  top: 'what a proxy or a fleet does now: rates, errors, latencies and shares by variant; a screen in a terminal',
  start: 'the quickstart: `serve` over examples/quickstart, with its model servers',
  usage: 'who used what, from usage ledgers; with a price list, what is to be paid',
} as const

export type Command = keyof typeof commands

/** What a command takes besides flags, in order; a name in brackets may be left out. */
const operands = {
  explain: ['METHOD', 'URL'],
  import: ['FILE'],
  key: ['ACTION'],
  replay: ['FILE'],
  rollout: ['ACTION', 'ROUTE', '[RULE]'],
} as const satisfies Partial<Record<Command, readonly string[]>>

export type WithOperands = keyof typeof operands

export const isCommand = (word: string): word is Command => Object.hasOwn(commands, word)

export function operandsOf(command: Command): readonly string[] | undefined {
  const all: Readonly<Partial<Record<Command, readonly string[]>>> = operands
  return all[command]
}
