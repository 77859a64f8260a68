import { define } from './flag.ts'

/** Who used what, and what it costs. */
export const ledgerFlags = define([
  {
    name: 'ledger',
    type: 'text',
    value: 'FILE|URL',
    of: { serve: 'stdout', dataplane: 'stdout', start: 'stdout' },
    help: 'the usage ledger, a line a request: stdout, none, a FILE, http(s)://…, or redis://…?stream=NAME',
  },
  {
    name: 'prices',
    type: 'text',
    value: 'FILE',
    of: { serve: null, dataplane: null, usage: null },
    help: 'what requests cost: a price list (docs/usage.md); of usage, for lines of an invoice',
  },
  {
    name: 'ledger',
    type: 'list',
    value: 'FILE',
    of: { usage: null },
    help: 'a usage ledger with what was rotated of it, or - for stdin',
  },
  {
    name: 'by',
    type: 'list',
    value: 'NAMES',
    of: { usage: null },
    help: 'what to add up by (default: consumer,model): consumer, tier, route, rule, variant, model, version, status, code, day, month',
  },
  {
    name: 'since',
    type: 'text',
    value: 'TIME',
    of: { usage: null },
    help: 'from then on: 24h or 30d ago, a day (2026-01-31, UTC) or a time of RFC 3339',
  },
  {
    name: 'until',
    type: 'text',
    value: 'TIME',
    of: { usage: null },
    help: 'up to then',
  },
  {
    name: 'output',
    short: 'o',
    type: 'text',
    value: 'FORMAT',
    choices: ['table', 'csv', 'json'],
    of: { usage: 'table' },
    help: 'table: for people; csv: for spreadsheets; json: for programs',
  },
])
