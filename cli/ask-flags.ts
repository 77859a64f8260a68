import { define } from './flag.ts'

/** What is asked about, of requests that are not made: an imagined one, or recorded ones. */
export const askFlags = define([
  {
    name: 'header',
    short: 'H',
    type: 'list',
    value: "'NAME: VALUE'",
    of: { explain: null },
    help: 'a header of the request',
  },
  {
    name: 'data',
    short: 'd',
    type: 'text',
    value: 'BODY',
    of: { explain: null },
    help: 'the body of the request',
  },
  {
    name: 'as',
    type: 'text',
    value: 'CONSUMER',
    of: { explain: null },
    help: 'take the caller for this consumer, whatever credentials the request has',
  },
  {
    name: 'source',
    type: 'text',
    value: 'ADDRESS',
    of: { explain: null },
    help: 'the address that the request comes from',
  },
  {
    name: 'against',
    type: 'list',
    value: 'PATH',
    of: { replay: null },
    help: 'the manifests that are proposed: what they would decide of the requests is told',
  },
  {
    name: 'from',
    type: 'list',
    value: 'PATH',
    of: { replay: null },
    help: 'manifests to compare with, such as the present ones (default: what the record says was decided)',
  },
  {
    name: 'fail-on-change',
    type: 'switch',
    of: { replay: null },
    help: 'exit with 1 where any request would be decided differently, or the record has none',
  },
])
