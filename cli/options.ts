import { parseArgs } from 'node:util'
import { nearest } from '../controller/sources/nearest.ts'
import { type Command, operandsOf } from './commands.ts'
import type { Flag } from './flag.ts'
import { flagsOf, keyOf, type Options, variableOf } from './flags.ts'
import { dimensions, isDimension } from './usage-dimensions.ts'
import { instantOf } from './usage-time.ts'
import { type OptionValue, parseValue } from './values.ts'

/** A command line that cannot be obeyed: what is wrong with it, a line each. */
export type Usage = Readonly<{ usage: readonly string[] }>

type Environment = Readonly<Record<string, string | undefined>>
type Given = { flag: Flag; text: string; from: string }

const shownFlag = (flag: Flag) => (flag.short === undefined ? `--${flag.name}` : `-${flag.short}`)

/** What combinations mean nothing, or not what was meant. */
const rules: { readonly [C in Command]?: (options: Options<C>, given: ReadonlySet<string>) => readonly string[] } = {
  serve: (options, given) => [
    ...(options.filename.length === 0 ? ['-f PATH is required: a file, a folder, or - for stdin'] : []),
    ...consoleOf(options),
    ...(options.tlsCert === undefined && options.tlsKey === undefined ? [] : pair(options)),
    ...(given.has('client-ca') && options.tlsCert === undefined ? ['--client-ca needs --tls-cert'] : []),
    ...keptFaults(options.auditHeader, 'audit-header'), ...keptFaults(options.auditParameter, 'audit-parameter'),
  ],
  check: ({ filename }) => (filename.length === 0 ? ['-f PATH is required: a file, a folder, or - for stdin'] : []),
  explain: ({ filename, admin }) => [
    ...(filename.length === 0 && admin === undefined ? ['-f PATH is required, or --admin URL of a running proxy'] : []),
    ...(filename.length > 0 && admin !== undefined ? ['-f and --admin exclude each other'] : []),
  ],
  replay: ({ against }) => (against.length === 0 ? ['--against PATH is required: the manifests that are proposed'] : []),
  key: ({ operands: [action = ''], consumer, out, apply, namespace }, given) => [
    ...(['create', 'rotate', 'revoke', 'list'].includes(action) ? [] : [`ACTION is create, rotate, revoke or list, not ${JSON.stringify(action)}`]),
    ...(consumer === undefined && action !== 'list' ? ['--consumer NAME is required'] : []),
    ...(out !== undefined && apply ? ['-o and --apply exclude each other'] : []),
    ...(out === undefined && !apply && action !== 'create' ? ['-o FILE or --apply says where the keys are'] : []),
    ...(namespace.length > 1 ? ['-n is one namespace here'] : []),
    ...(given.has('kubeconfig') && !apply ? ['--kubeconfig needs --apply'] : []),
  ],
  rollout: ({ operands: [action = ''], control, filename, weight, namespace }, given) => [
    ...(rolloutActions.includes(action) ? [] : [`ACTION is ${rolloutActions.join(', ')}, not ${JSON.stringify(action)}`]),
    ...Object.entries(belongs).filter(([flag, to]) => given.has(flag) && action !== to).map(([flag, to]) => `--${flag} goes with ${to}`),
    ...(action === 'set-weight' && weight.length === 0 ? ['--weight VARIANT=N is required'] : []),
    ...(control === undefined && given.has('token-file') ? ['--token-file goes with --control'] : []),
    ...(control !== undefined && given.has('kubeconfig') ? ['--control and --kubeconfig exclude each other'] : []),
    ...(filename.length > 0 && action !== 'set-weight' ? ['-f goes with set-weight'] : []),
    ...(filename.length > 1 || filename[0] === '-' ? ['-f is one file here'] : []),
    ...(namespace.length > 1 ? ['-n is one namespace here'] : []),
  ],
  selftest: ({ through, service, owner, namespace }) => [
    ...(through.length === 0 ? ['--through NAME=URL is required: a gateway, and where it takes requests'] : []),
    ...through.filter((text) => !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?=http:\/\/[^/?#@]+\/?$/.test(text)).map((text) => `${JSON.stringify(text)} is none such as default=http://HOST:PORT`),
    ...(service === undefined ? ['--service NAME is required: what leads to this process'] : []),
    ...(owner !== undefined && !/^[^=]+=[^=]+$/.test(owner) ? ['--owner must be POD=UID'] : []),
    ...(namespace.length > 1 ? ['-n is one namespace here'] : []),
  ],
  top: ({ admin, control, namespace, interval }) => [
    ...(admin !== undefined && control !== undefined ? ['--admin and --control exclude each other'] : []),
    ...[admin, control].filter((url) => url !== undefined && !/^https?:\/\/[^/?#@]+\/?$/.test(url)).map((url) => `${JSON.stringify(url)} is no address such as http://127.0.0.1:9901`),
    ...(namespace.length > 1 ? ['-n is one namespace here'] : []),
    ...(interval < 1000 ? ['--interval is 1s at least: rates are counted over it'] : []),
  ],
  usage: ({ ledger, by, since, until }) => [
    ...(ledger.length === 0 ? ['--ledger FILE is required, or - for stdin'] : []),
    ...by.flatMap((names) => names.split(',')).filter((name) => !isDimension(name)).map((name) => `--by ${JSON.stringify(name)} is none of ${dimensions.join(', ')}`),
    ...Object.entries({ since, until }).filter(([, text]) => text !== undefined && instantOf(text, 0) === undefined)
      .map(([name]) => `--${name} must be a time ago, such as 24h or 30d, a day such as 2026-01-31, or a time of RFC 3339`),
  ],
  dataplane: (options) => [
    ...(options.controller.length === 0 ? ['--controller URL is required'] : []),
    ...keptFaults(options.auditHeader, 'audit-header'), ...keptFaults(options.auditParameter, 'audit-parameter'),
    ...(options.tlsCert === undefined && options.tlsKey === undefined ? [] : pair(options)),
    ...(options.sidecarPort !== undefined && (options.tlsCert === undefined || options.clientCa === undefined) ? ['--sidecar-port needs --tls-cert, --tls-key and --client-ca'] : []),
  ],
  sidecar: (options) => [
    ...(options.tlsCert === undefined || options.tlsKey === undefined || options.clientCa === undefined ? ['--tls-cert, --tls-key and --client-ca are required'] : []),
    ...(options.injectMode === 'client' ? fleetFaults(options.fleet)
      : [...(options.injectPort === undefined ? ['--inject-port is required: where the model server listens'] : []), ...(options.controller.length === 0 ? ['--controller URL is required'] : [])]),
  ],
  controller: (options, given) => {
    const clusterOnly = [
      'kubeconfig',
      'namespace',
      'leader-elect',
      'lease-namespace',
      'secret-namespace',
      'allow-unmanaged-endpointslices',
      'self-certificates',
    ]
    const files = options.selfCertificates === undefined ? [] : ['tls-cert', 'tls-key', 'client-ca', 'insecure']
    const idle = options.filename.length > 0 ? clusterOnly.filter((name) => given.has(name)) : []
    return [
      ...idle.map((name) => `--${name} has no meaning with -f, which reads files instead of a cluster`),
      ...(options.filename.length > 0 ? consoleOf(options) : options.consoleTokenFile === undefined ? [] : ['--console-token-file goes with -f: a cluster has tokens of its own']),
      ...files.filter((name) => given.has(name)).map((name) => `--self-certificates and --${name} exclude each other`),
      ...(options.tlsCert === undefined && options.tlsKey === undefined ? [] : pair(options)),
      ...options.hostnameBinding.filter((text) => !binding.test(text)).map((text) =>
        `--hostname-binding must be HOST=NAMESPACE, such as models.example.com=ml, not ${JSON.stringify(text)}`),
      ...(options.clientCa !== undefined && options.tlsCert === undefined ? ['--client-ca needs --tls-cert'] : []),
    ]
  },
}

/** Over files somebody has to know where the token is. */
function consoleOf({ consoleActions, consoleTokenFile, stateDir }: { consoleActions: boolean; consoleTokenFile?: string; stateDir?: string }) {
  return [
    ...(consoleActions && consoleTokenFile === undefined && stateDir === undefined ? ['--console-actions needs --state-dir DIR, to make its token in, or --console-token-file FILE'] : []),
    ...(!consoleActions && consoleTokenFile !== undefined ? ['--console-token-file goes with --console-actions'] : []),
  ]
}

/** Names of headers and parameters in which credentials travel, or might. */
const credential = /auth|cookie|key|passw|secret|token/i
const keptFaults = (names: readonly string[], flag: string) => names.filter((name) => credential.test(name))
  .map((name) => `--${flag} ${name}: what may be a credential is in no log`)

const rolloutActions = ['status', 'promote', 'pause', 'resume', 'abort', 'undo', 'retry', 'set-weight']

/** Flags of `rollout` that mean something for one action only. */
const belongs = { watch: 'status', timeout: 'status', full: 'promote', 'to-revision': 'undo', weight: 'set-weight', write: 'set-weight' }

/** A host, `*.suffix` or `*`, and the name of a namespace. */
const binding = /^(\*|(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)=[a-z0-9]([-a-z0-9]*[a-z0-9])?$/i

function fleetFaults(fleet: string | undefined): readonly string[] {
  const url = fleet !== undefined && URL.canParse(fleet) ? new URL(fleet) : undefined
  return url?.protocol === 'https:' && url.pathname === '/' ? [] : ['--fleet URL is required: https://HOST:9905, where proxies of the fleet take sidecars']
}

const pair = ({ tlsCert, tlsKey }: { tlsCert?: string; tlsKey?: string }) =>
  tlsCert === undefined || tlsKey === undefined ? ['--tls-cert and --tls-key go together'] : []

function unknownFlag(raw: string, flags: readonly Flag[], command: Command): string {
  const like = nearest(raw.replace(/^-+/, ''), flags.map(({ name }) => name))
  return `unknown flag ${raw}${like === undefined ? '' : `; did you mean --${like}?`} (modelroute ${command} --help)`
}

/** Reads the words after the command. */
function readWords(command: Command, words: readonly string[], flags: readonly Flag[]) {
  const config = Object.fromEntries(
    flags.map(({ name, short, type }) => [
      name,
      { type: type === 'switch' ? ('boolean' as const) : ('string' as const), multiple: true, ...(short && { short }) },
    ]),
  )
  const args = [...words]
  const { tokens } = parseArgs({ args, options: config, strict: false, allowPositionals: true, tokens: true })
  const given: Given[] = []
  const errors: string[] = []
  const extra: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') extra.push(token.value)
    if (token.kind !== 'option') continue
    const flag = flags.find(({ name }) => name === token.name)
    if (flag === undefined) errors.push(unknownFlag(token.rawName, flags, command))
    else if (flag.type === 'switch') given.push({ flag, text: token.value ?? 'true', from: token.rawName })
    else if (token.value === undefined || (!token.inlineValue && /^-./.test(token.value))) {
      errors.push(`${token.rawName} needs a value: ${token.rawName} ${flag.value ?? flag.type.toUpperCase()}`)
    } else given.push({ flag, text: token.value, from: token.rawName })
  }
  // After an unknown flag, an argument is probably its value.
  if (errors.length > 0) return { given, errors, operands: extra }
  const hint = (text: string) => (flags.some(({ name }) => name === 'filename') ? `; did you mean -f ${text}?` : '')
  const wanted = operandsOf(command) ?? []
  const missing = wanted.slice(extra.length).filter((name) => !name.startsWith('['))
  return {
    given,
    errors: [
      ...extra.slice(wanted.length).map((text) => `unexpected argument ${text}${hint(text)}`),
      ...missing.map((name) => `${name} is missing: modelroute ${command} ${wanted.join(' ')}`),
    ],
    operands: extra,
  }
}

/** What the environment says of a flag; an empty variable says nothing. */
function fromEnvironment(flag: Flag, env: Environment): Given[] {
  const from = variableOf(flag)
  const text = env[from]?.trim() ?? ''
  if (text === '') return []
  const texts = flag.type === 'list' ? text.split(',').map((part) => part.trim()) : [text]
  return texts.filter((part) => part !== '').map((part) => ({ flag, text: part, from }))
}

function valueOf(
  flag: Flag,
  given: readonly Given[],
  fallback: string | null,
  errors: string[],
): OptionValue | undefined {
  const values = given.flatMap(({ text, from }) => {
    const parsed = parseValue(flag, text)
    if ('value' in parsed) return [parsed.value]
    errors.push(`${from} ${parsed.error}${parsed.secret === true ? '' : `, not ${JSON.stringify(text)}`}`)
    return []
  })
  if (flag.type === 'list') return values.map(String)
  if (given.length > 1) errors.push(`${shownFlag(flag)} is given ${given.length} times`)
  const [value] = values
  if (value !== undefined) return value
  if (fallback === null) return flag.type === 'switch' ? false : undefined
  const parsed = parseValue(flag, fallback)
  return 'value' in parsed ? parsed.value : undefined
}

/** The options of a command: flags, else environment variables, else defaults. */
export function readOptions<C extends Command>(
  command: C,
  words: readonly string[],
  env: Environment,
): Options<C> | Usage {
  const flags = flagsOf(command)
  const { given, errors, operands: rest } = readWords(command, words, flags)
  const options: Record<string, OptionValue> = operandsOf(command) ? { operands: rest } : {}
  const explicit = new Set<string>()
  for (const flag of flags) {
    const typed = given.filter((each) => each.flag === flag)
    const told = typed.length > 0 ? typed : fromEnvironment(flag, env)
    if (told.length > 0) explicit.add(flag.name)
    const value = valueOf(flag, told, flag.of[command] ?? null, errors)
    if (value !== undefined) options[keyOf(flag)] = value
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the registry made both the type and the values
  const typed = options as Options<C>
  if (errors.length === 0) errors.push(...(rules[command]?.(typed, explicit) ?? []))
  return errors.length > 0 ? { usage: errors } : typed
}
