import { define } from './flag.ts'

/** What the console on the control port may do besides showing. */
export const consoleFlags = define([
  {
    name: 'console-actions',
    type: 'switch',
    of: { serve: null, controller: null },
    help: 'the console on the control port gives commands to rollouts, to whoever has a token: of the cluster; over files, of a file',
  },
  {
    name: 'console-token-file',
    type: 'text',
    value: 'FILE',
    of: { serve: null, controller: null },
    help: 'over files: the token for that (default: made and kept in console-token under --state-dir)',
  },
  {
    name: 'console-host',
    type: 'list',
    value: 'NAME',
    of: { serve: null, controller: null },
    help: 'a name under which the control port is offered by something that encrypts (repeat for several)',
  },
])
