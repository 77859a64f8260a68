import { parseNetworks } from '../dataplane/pipeline/networks.ts'
import { parseRedisUrl } from '../dataplane/limits/redis/url.ts'
import { parseDestination } from '../dataplane/telemetry/ledger/destination.ts'
import type { Flag } from './flag.ts'

export type OptionValue = string | number | boolean | readonly string[]

/** `secret`: what was given is not to be repeated. */
export type Parsed = { value: OptionValue } | { error: string; secret?: boolean }

const duration = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/
const units: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }

/** Milliseconds of a Gateway API duration (GEP-2257); undefined where it is none. */
export function parseDuration(text: string): number | undefined {
  if (!duration.test(text)) return undefined
  const parts = [...text.matchAll(/([0-9]+)(h|ms|m|s)/g)]
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (units[unit ?? ''] ?? 0), 0)
}

/** A label of a DNS name (RFC 1123). */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** What the values of a flag must look like beyond their type. */
const shapes: Readonly<Record<string, { test: (text: string) => boolean; message: string }>> = {
  controller: {
    test: (text) => /^https?:\/\/[^/]/.test(text) && URL.canParse(text) && new URL(text).pathname === '/',
    message: 'must be https://HOST:PORT, or http://HOST:PORT for a plain channel',
  },
  admin: { test: (text) => /^https?:\/\/[^/]/.test(text) && URL.canParse(text), message: 'must be http://HOST:PORT' },
  control: { test: (text) => /^https?:\/\/[^/]/.test(text) && URL.canParse(text), message: 'must be http://HOST:PORT' },
  weight: { test: (text) => /^[a-z0-9][a-z0-9-]*=[0-9]{1,7}$/.test(text) && Number(text.split('=')[1]) <= 1_000_000, message: 'must be VARIANT=N, such as canary=25' },
  header: { test: (text) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:/.test(text), message: "must be 'NAME: VALUE'" },
  'allow-url': {
    test: (text) => /^(\*\.)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$/.test(text),
    message: 'must be HOST, HOST:PORT or *.SUFFIX, without https://',
  },
  'self-certificates': {
    test: (text) => text.length <= 253 && /[a-z]/.test(text) && text.split('.').every((label) => LABEL.test(label)),
    message: 'must be a DNS name in lower case, such as modelroute-controller.modelroute.svc',
  },
  'trusted-hops': {
    test: (text) => typeof parseNetworks([text]) !== 'string',
    message: 'must be a network such as 10.0.0.0/8 or 2001:db8::/32',
  },
  group: { test: (text) => /^[^,\s](?:[^,]*[^,\s])?$/.test(text), message: 'must be a name without commas' },
  label: {
    test: (text) => /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?=([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/.test(text),
    message: 'must be KEY=VALUE, as Kubernetes has labels',
  },
  expires: {
    test: (text) => /^[1-9][0-9]{0,4}[dhms]$/.test(text) || (/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/.test(text) && !Number.isNaN(Date.parse(text))),
    message: 'must be a time from now such as 90d or 12h, or a time of RFC 3339',
  },
  host: { test: (text) => /^[A-Za-z0-9._:%-]+$/.test(text), message: 'must be an address or a host name' },
  'admin-host': { test: (text) => /^[A-Za-z0-9._:%-]+$/.test(text), message: 'must be an address or a host name' },
}

function parsePort(text: string): Parsed {
  if (/^[0-9]{1,5}$/.test(text) && Number(text) <= 65_535) return { value: Number(text) }
  // A pod's environment names each Service of its namespace, so one called modelroute-http sets MODELROUTE_HTTP_PORT.
  const link = text.startsWith('tcp://')
    ? '; Kubernetes set it for a Service of that name: set enableServiceLinks: false in the pod'
    : ''
  return { error: `must be a port, 0 to 65535${link}` }
}

/** Reads one value as the flag's type; a list takes one of its items. */
export function parseValue(flag: Flag, text: string): Parsed {
  if (flag.type === 'port') return parsePort(text)
  if (flag.type === 'switch') {
    return text === 'true' || text === 'false' ? { value: text === 'true' } : { error: 'must be true or false' }
  }
  if (text === '') return { error: 'must not be empty' }
  if (flag.type === 'duration') {
    const value = parseDuration(text)
    return value === undefined ? { error: 'must be a duration such as 250ms, 5s or 1h30m' } : { value }
  }
  if (flag.type === 'count') {
    const value = Number(text)
    return /^[0-9]{1,7}$/.test(text) && value > 0 ? { value } : { error: 'must be a whole number from 1' }
  }
  if (flag.choices !== undefined && !flag.choices.includes(text)) {
    return { error: `must be one of ${flag.choices.join(', ')}` }
  }
  if (flag.name === 'redis') {
    const url = parseRedisUrl(text)
    return typeof url === 'string' ? { error: url, secret: true } : { value: text }
  }
  if (flag.name === 'ledger' && flag.type === 'text') {
    const destination = parseDestination(text)
    return typeof destination === 'string' ? { error: destination, secret: true } : { value: text }
  }
  const shape = shapes[flag.name]
  return shape === undefined || shape.test(text) ? { value: text } : { error: shape.message }
}
