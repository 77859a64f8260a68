import { parseRedisUrl, type RedisUrl } from '../dataplane/limits/redis/url.ts'

/** What `--redis` says; it was looked at when the options were read. */
export function redisOf({ redis }: { readonly redis?: string }): RedisUrl | undefined {
  const url = redis === undefined ? undefined : parseRedisUrl(redis)
  return typeof url === 'string' ? undefined : url
}
