import { define } from './flag.ts'

/** How the two ends of a connection know each other: the public port's, and that between controller and proxies. */
export const channelFlags = define([
  {
    name: 'tls-cert',
    type: 'text',
    value: 'FILE',
    of: { serve: null, controller: null, dataplane: null, sidecar: null },
    help: 'certificate chain (PEM): of the public port of serve, else what this end of the push channel shows',
  },
  {
    name: 'tls-key',
    type: 'text',
    value: 'FILE',
    of: { serve: null, controller: null, dataplane: null, sidecar: null },
    help: 'its private key (PEM)',
  },
  {
    name: 'client-ca',
    type: 'text',
    value: 'FILE',
    of: { serve: null, controller: null, dataplane: null, sidecar: null },
    help: 'authority (PEM) that must have signed the certificate of the other end: clients of serve, else of the push channel',
  },
  {
    name: 'pepper',
    type: 'text',
    value: 'FILE',
    of: { controller: null, dataplane: null },
    help: 'what API keys are digested with (default: the controller makes one, and tells its proxies)',
  },
  {
    name: 'self-certificates',
    type: 'text',
    value: 'HOST',
    of: { controller: null },
    help: 'make the certificates of both ends, kept in Secrets; HOST: the DNS name that proxies dial',
  },
  {
    name: 'insecure',
    type: 'switch',
    of: { controller: null, dataplane: null },
    help: 'allow a plain push channel beyond this machine',
  },
])
