import { define } from './flag.ts'

/** What `key` is told of a key, and where it keeps it. */
export const keyFlags = define([
  { name: 'consumer', type: 'text', value: 'NAME', of: { key: null }, help: 'whose keys; required, but for list' },
  { name: 'tier', type: 'text', value: 'TIER', of: { key: null }, help: 'the tier of its holder, for create' },
  { name: 'group', type: 'list', value: 'GROUP', of: { key: null }, help: 'a group of its holder, for create' },
  { name: 'label', type: 'list', value: 'KEY=VALUE', of: { key: null }, help: 'a label of its Secret, for the selector of a route; for create' },
  { name: 'expires', type: 'text', value: 'WHEN', of: { key: null }, help: 'from when on it is none: 90d, 12h, or a time of RFC 3339' },
  { name: 'overlap', type: 'duration', of: { key: '24h' }, help: 'for rotate: how long the old keys stay good' },
  { name: 'out', short: 'o', type: 'text', value: 'FILE', of: { key: null }, help: 'keep the Secrets in this file' },
  { name: 'apply', type: 'switch', of: { key: null }, help: "keep the Secrets in the cluster that kubectl's configuration selects" },
])
