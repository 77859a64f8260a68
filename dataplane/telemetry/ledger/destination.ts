import { parseRedisUrl, type RedisUrl } from '../../limits/redis/url.ts'
import { keptDefault } from '../sinks/stream.ts'

/** Where usage records go. */
export type Destination =
  | Readonly<{ to: 'none' | 'stdout' }>
  | Readonly<{ to: 'file'; path: string }>
  /** May hold credentials. */
  | Readonly<{ to: 'http'; url: string }>
  /** A Redis stream; `kept`: entries that it keeps, about. */
  | Readonly<{ to: 'stream'; redis: RedisUrl; name: string; kept: number }>

/** Reads `--ledger`. @returns what is wrong with it, as a sentence without credentials, where it is none of them */
export function parseDestination(text: string): Destination | string {
  if (text === 'stdout' || text === 'none') return { to: text }
  if (/^https?:\/\//i.test(text)) {
    return URL.canParse(text) ? { to: 'http', url: text } : 'is no URL'
  }
  if (/^rediss?(?:\+\w+)?:\/\//.test(text)) return streamOf(text)
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(text)) return 'must be stdout, none, a FILE, http(s)://… or redis(s)://…?stream=NAME'
  return text === '' ? 'must not be empty' : { to: 'file', path: text }
}

function streamOf(text: string): Destination | string {
  const [base = '', query = ''] = text.split(/\?(.*)/s)
  const parameters = new URLSearchParams(query)
  const name = parameters.get('stream') ?? ''
  const kept = Number(parameters.get('maxlen') ?? keptDefault)
  if (name === '') return 'must name its stream: redis://HOST:6379/0?stream=NAME'
  if (!Number.isSafeInteger(kept) || kept < 1) return 'must have a whole number of entries as maxlen'
  parameters.delete('stream')
  parameters.delete('maxlen')
  const rest = parameters.toString()
  const redis = parseRedisUrl(rest === '' ? base : `${base}?${rest}`)
  return typeof redis === 'string' ? redis : { to: 'stream', redis, name, kept }
}
