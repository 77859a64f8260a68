import { define } from './flag.ts'

/** What `selftest` is told of the installation that it tries. */
export const selftestFlags = define([
  { name: 'through', type: 'list', value: 'NAME=URL', of: { selftest: null }, help: 'a gateway, and where it takes requests: default=http://HOST:PORT (repeat for several); required' },
  { name: 'service', type: 'text', value: 'NAME', of: { selftest: null }, help: 'the Service that leads to this process, on the port of --http-port; required' },
  { name: 'owner', type: 'text', value: 'POD=UID', of: { selftest: null }, help: 'the Pod that the route vanishes with, should this process not get to it' },
])
