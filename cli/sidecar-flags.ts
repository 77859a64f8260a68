import { define } from './flag.ts'

/** Of the proxy beside one application or one model server, and of those that it comes to. */
export const sidecarFlags = define([
  {
    name: 'inject-mode',
    type: 'text',
    value: 'MODE',
    choices: ['client', 'server'],
    of: { sidecar: 'client' },
    help: 'client: the way of an application to its fleet; server: the guard of a model server',
  },
  {
    name: 'inject-port',
    type: 'port',
    of: { sidecar: null },
    help: 'server: where the model server listens, on this machine',
  },
  {
    name: 'inject-service',
    type: 'text',
    value: 'NAME',
    of: { sidecar: null },
    help: 'server: the Service that it is behind; only rules that lead there are served (default: all of its namespace)',
  },
  {
    name: 'fleet',
    type: 'text',
    value: 'URL',
    of: { sidecar: null },
    help: 'client: where the proxies of the fleet take sidecars: https://HOST:9905',
  },
  {
    name: 'fleet-name',
    type: 'text',
    value: 'NAME',
    of: { sidecar: null },
    help: 'client: what the certificate of the proxies is for (default: the host of --fleet)',
  },
  {
    name: 'sidecar-port',
    type: 'port',
    of: { dataplane: null },
    help: 'the gateway for sidecars, over mutual TLS with --tls-cert, --tls-key and --client-ca (default: none)',
  },
  {
    name: 'sidecar-namespace',
    type: 'list',
    value: 'NAME',
    of: { controller: null },
    help: 'pods of this namespace may have sidecars, which get what of the tables is of the namespace (docs/sidecar.md)',
  },
])
