import { askFlags } from './ask-flags.ts'
import { channelFlags } from './channel-flags.ts'
import type { Command, WithOperands } from './commands.ts'
import { consoleFlags } from './console-flags.ts'
import { edgeFlags } from './edge-flags.ts'
import { define, type Flag } from './flag.ts'
import { keyFlags } from './key-flags.ts'
import { ledgerFlags } from './ledger-flags.ts'
import { rolloutFlags } from './rollout-flags.ts'
import { selftestFlags } from './selftest-flags.ts'
import { sidecarFlags } from './sidecar-flags.ts'
import { topFlags } from './top-flags.ts'

/**
 * Every flag there is, in one place: which commands take it, what it means and what holds without it. Help, environment
 * variables and the types of the options all follow from here. A flag is here only once something honours it.
 */

export const flags = define([
  {
    name: 'filename',
    short: 'f',
    type: 'list',
    value: 'PATH',
    of: { serve: null, controller: null, check: null, explain: null, rollout: null },
    help: 'manifests: a file, a folder (not recursive; .yaml, .yml, .json) or - for stdin; serve and controller watch them',
  },
  {
    name: 'output',
    short: 'o',
    type: 'text',
    value: 'FORMAT',
    choices: ['text', 'json'],
    of: { check: 'text', explain: 'text', replay: 'text', mirrors: 'text', predictions: 'text', top: 'text' },
    help: 'text: for people, a line each; json: the same for programs',
  },
  {
    name: 'hostname',
    type: 'list',
    value: 'HOST',
    of: { import: null },
    help: 'the route is for this host; without any, for all',
  },
  {
    name: 'path',
    type: 'text',
    value: 'PATH',
    of: { import: null },
    help: 'the route is for this path and what is below it (default: / of a host, else /graphs/NAMESPACE/NAME)',
  },
  ...askFlags,
  {
    name: 'admin',
    type: 'text',
    value: 'URL',
    of: { top: null, explain: null, mirrors: 'http://127.0.0.1:9901', predictions: 'http://127.0.0.1:9901' },
    help: 'admin port of the running proxy to ask, http://127.0.0.1:9901; explain reads manifests without it',
  },
  {
    name: 'host',
    type: 'text',
    value: 'HOST',
    of: { serve: '0.0.0.0', dataplane: '0.0.0.0', sidecar: '0.0.0.0', controller: '127.0.0.1', start: '127.0.0.1', selftest: '0.0.0.0' },
    help: 'address of the public and health ports (of a client sidecar, of its health port); of a controller, of its push and control ports; of selftest, of its model server',
  },
  {
    name: 'http-port',
    type: 'port',
    of: { serve: '8080', dataplane: '8080', sidecar: '15080', start: '8080', selftest: '8000' },
    help: 'the gateway itself, or the model server of selftest; 0 takes a free port',
  },
  {
    name: 'https-port',
    type: 'port',
    of: { serve: '8443', dataplane: null },
    help: 'the gateway over TLS, with the certificates of its routes; serve opens it once there is one',
  },
  {
    name: 'admin-host',
    type: 'text',
    value: 'HOST',
    of: { serve: '127.0.0.1', dataplane: '127.0.0.1', start: '127.0.0.1' },
    help: 'address of the admin port, and of the control port of serve',
  },
  {
    name: 'admin-port',
    type: 'port',
    of: { serve: '9901', dataplane: '9901', sidecar: '15901', start: '9901' },
    help: 'metrics, health and the table in force',
  },
  {
    name: 'health-port',
    type: 'port',
    of: { serve: null, dataplane: '9904', sidecar: '15904' },
    help: '/healthz, /readyz and /metrics, and nothing else, on --host',
  },
  {
    name: 'push-port',
    type: 'port',
    of: { controller: '9902' },
    help: 'where proxies dial in',
  },
  {
    name: 'control-port',
    type: 'port',
    of: { serve: '9903', controller: '9903', start: '9903' },
    help: 'metrics, health, GET /status and POST /rollout',
  },
  {
    name: 'controller',
    type: 'list',
    value: 'URL',
    of: { dataplane: null, sidecar: null },
    help: 'where a controller takes proxies: https://HOST:9902, or http:// for a plain channel',
  },
  {
    name: 'gateway',
    type: 'text',
    value: 'NAME',
    of: { dataplane: 'default', sidecar: 'default', explain: 'default', replay: 'default' },
    help: "the fleet that it belongs to: one of a route's gatewayNames",
  },
  {
    name: 'snapshot',
    type: 'text',
    value: 'FILE',
    of: { dataplane: null },
    help: 'the last good table, to boot from while no controller answers; none = off (default: under --state-dir)',
  },
  {
    name: 'state-dir',
    type: 'text',
    value: 'DIR',
    of: { serve: null, dataplane: null, sidecar: null, controller: null },
    help: 'what must outlive the process: the last good table; over files, rules and rollouts (default: a temporary folder)',
  },
  {
    name: 'redis',
    type: 'text',
    value: 'URL',
    of: { serve: null, dataplane: null },
    help: 'where proxies share the counts of limits (docs/limits.md); a password in it is better set by the variable',
  },
  ...channelFlags,
  ...keyFlags,
  ...rolloutFlags,
  ...sidecarFlags,
  ...consoleFlags,
  ...selftestFlags,
  ...topFlags,
  {
    name: 'allow-url',
    type: 'list',
    value: 'HOST',
    of: { serve: null, controller: null, check: null, explain: null, replay: null },
    help: 'a host that URL backends, key sets and introspection may reach: HOST or HOST:PORT (also in private networks), or *.SUFFIX; over files, this machine too',
  },
  ...edgeFlags,
  {
    name: 'drain-delay',
    type: 'duration',
    of: { serve: '0s', dataplane: '5s', start: '0s' },
    help: 'after SIGTERM: how long it says that it is not ready and still takes what comes',
  },
  {
    name: 'drain-timeout',
    type: 'duration',
    of: { serve: '10s', dataplane: '60s', sidecar: '30s', start: '10s' },
    help: 'after that: how long requests in flight may take',
  },
  {
    name: 'audit',
    type: 'text',
    value: 'FILE',
    of: { serve: 'stdout', dataplane: 'stdout' },
    help: 'the audit log: stdout, for what asks who calls; a FILE has every request',
  },
  {
    name: 'predictions',
    type: 'text',
    value: 'FILE|URL',
    of: { serve: null, dataplane: null },
    help: 'the prediction log of rules that ask for one, as CloudEvents: a line each in FILE, or a POST each to URL',
  },
  ...ledgerFlags,
  {
    name: 'portal',
    type: 'switch',
    of: { serve: null, dataplane: null },
    help: 'at /portal, the holder of an API key sees their models, limits and what is left',
  },
  {
    name: 'log-level',
    type: 'text',
    value: 'LEVEL',
    choices: ['debug', 'info', 'warn', 'error'],
    of: { serve: 'info', dataplane: 'info', sidecar: 'info', controller: 'info', start: 'info' },
    help: 'the least that is logged; logs are JSON lines on stdout',
  },
  {
    name: 'kubeconfig',
    type: 'text',
    value: 'FILE',
    of: { controller: null, key: null, rollout: null, selftest: null },
    help: "how to reach the cluster (default: the service account of its own pod; of key and rollout, kubectl's)",
  },
  {
    name: 'namespace',
    short: 'n',
    type: 'list',
    value: 'NAME',
    of: { top: null, controller: null, key: null, rollout: null, selftest: null },
    help: 'read these namespaces only (default: all); of key, rollout, top and selftest, the one that is meant',
  },
  {
    name: 'secret-namespace',
    type: 'list',
    value: 'NAME',
    of: { controller: null },
    help: 'read the Secrets and ConfigMaps of this namespace, which takes a Role in it',
  },
  {
    name: 'leader-elect',
    type: 'switch',
    of: { controller: 'true' },
    help: 'one of several replicas writes statuses',
  },
  {
    name: 'lease-namespace',
    type: 'text',
    value: 'NAME',
    of: { controller: null },
    help: 'where the Lease of the election is (default: its own)',
  },
  {
    name: 'hostname-binding',
    type: 'list',
    value: 'HOST=NS',
    of: { controller: null },
    help: 'only routes of this namespace may name the host: HOST, *.SUFFIX or * (repeat to let several)',
  },
  {
    name: 'allow-unmanaged-endpointslices',
    type: 'switch',
    of: { controller: null },
    help: "follow EndpointSlices that the cluster's own controllers do not manage",
  },
])

type Known = (typeof flags)[number]
type Camel<S extends string> = S extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S
type Value<F extends Known> = F extends { choices: readonly (infer Choice)[] }
  ? Choice
  : { text: string; port: number; duration: number; count: number; switch: boolean; list: readonly string[] }[F['type']]

/** Its flags have a value in any case: lists are empty and switches off, where nothing else is said. */
type Certain<F, C extends Command> = F extends { type: 'list' | 'switch'; of: Record<C, unknown> }
  ? F
  : F extends { of: Record<C, string> } ? F : never
type Uncertain<F, C extends Command> = F extends { of: Record<C, unknown> } ? Exclude<F, Certain<F, C>> : never

/** What a command was told: its flags in camelCase, ports as numbers, durations as milliseconds. */
export type Options<C extends Command> = {
  readonly [F in Certain<Known, C> as Camel<F['name']>]: Value<F>
} & {
  readonly [F in Uncertain<Known, C> as Camel<F['name']>]?: Value<F>
} & (C extends WithOperands ? { readonly operands: readonly string[] } : unknown)

export const flagsOf = (command: Command): readonly Flag[] =>
  flags.filter((flag: Flag) => flag.of[command] !== undefined)

/** `--http-port` = `MODELROUTE_HTTP_PORT`. */
export const variableOf = ({ name }: Flag) => `MODELROUTE_${name.replaceAll('-', '_').toUpperCase()}`

export const keyOf = ({ name }: Flag) => name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
