import type { RedisUrl } from '../../limits/redis/url.ts'
import type { Shared } from '../shared.ts'
import { createAnswers, type AnswersOptions } from './store.ts'

/** How often failures of connections are logged at most. Milliseconds. */
const toldEvery = 10_000

/** Over a connection of its own, so that no limit waits behind a large answer; it is made once a rule keeps answers. */
export async function connectAnswers({ redis, say }: Readonly<{ redis: RedisUrl; say: AnswersOptions['say'] }>): Promise<Shared> {
  const { connectRedis } = await import('../../redis.ts')
  let told = Number.NEGATIVE_INFINITY
  const connect = () => connectRedis(redis, (error) => {
    if (performance.now() - told < toldEvery) return
    told = performance.now()
    say('warn', 'connecting to Redis for answers failed', { error: error.message })
  })
  return createAnswers({ connect, patience: redis.cachePatience, say })
}
