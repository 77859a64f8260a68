import { define } from './flag.ts'

/** Where a proxy stands: whom it serves, whom it believes, and what it is near to. */
export const edgeFlags = define([
  {
    name: 'audit-header',
    type: 'list',
    value: 'NAME',
    of: { serve: null, dataplane: null },
    help: 'a header whose value records of the audit log have too, for modelroute replay; never one with a credential',
  },
  {
    name: 'audit-parameter',
    type: 'list',
    value: 'NAME',
    of: { serve: null, dataplane: null },
    help: 'the same of a parameter of the query',
  },
  {
    name: 'trusted-hops',
    type: 'list',
    value: 'CIDR',
    of: { serve: null, dataplane: null, sidecar: null },
    help: 'a network whose X-Forwarded-For and Forwarded are believed: that of an ingress or load balancer before it',
  },
  {
    name: 'geo',
    type: 'text',
    value: 'FILE',
    of: { serve: null, dataplane: null },
    help: 'a database (MaxMind DB format) that says which country an address is in; followed as it is replaced',
  },
  {
    name: 'geo-header',
    type: 'text',
    value: 'NAME',
    of: { serve: null, dataplane: null },
    help: 'a header with the country of the caller, believed from trusted hops only; wins over --geo',
  },
  {
    name: 'max-connections',
    type: 'count',
    of: { serve: '10000', dataplane: '10000' },
    help: 'connections of clients at once; more wait for a place, and then are refused',
  },
  {
    name: 'max-connections-per-address',
    type: 'count',
    of: { serve: '5000', dataplane: '5000' },
    help: 'of these, from one address; trusted hops may have all',
  },
  {
    name: 'workers',
    type: 'count',
    of: { serve: '1', dataplane: '1' },
    help: 'processes that share the public ports; each is given its part of --max-connections',
  },
  {
    name: 'plugins',
    type: 'text',
    value: 'DIR',
    of: { serve: null, dataplane: null, check: null },
    help: 'a folder of filters of your own (docs/plugins.md), followed as it changes; check looks whether their settings fit',
  },
  {
    name: 'zone',
    type: 'text',
    value: 'NAME',
    of: { serve: null, dataplane: null },
    help: 'the zone that it is in, as endpoints name theirs (topology.kubernetes.io/zone), for routes with zoneAware',
  },
])
