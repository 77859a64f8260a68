import type { Script } from '../../limits/redis/script.ts'
import { script } from '../../limits/redis/script.ts'

/** A place of its own, so that every proxy finds it, whatever routes it has. */
export const purgesKey = 'modelroute:{purges}:cache'

/** As many names are told apart; beyond, all is purged at once. */
const namesMax = 1000

/**
 * KEYS: the purges, a hash of their numbers by name, of which `n` is the last. ARGV: the name of one to add (`all`: it
 * stands for every other), milliseconds since the epoch. Answers its number: greater than all before it.
 */
export const purgeScript: Script = script(`
local last = tonumber(redis.call('HGET', KEYS[1], 'n') or '0')
local name, number = ARGV[1], math.max(tonumber(ARGV[2]), last + 1)
if name ~= 'all' and redis.call('HLEN', KEYS[1]) > ${namesMax} then name = 'all' end
if name == 'all' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], name, string.format('%.0f', number), 'n', string.format('%.0f', number))
return string.format('%.0f', number)
`)

/**
 * KEYS: the purges. ARGV: the last number that is known. Answers 1 where the server has no room for more answers, else 0,
 * and then the list of names and numbers as JSON, or nothing: there is nothing new. Room is half of its memory: the
 * counts of limits may be there too, and must never be refused for the sake of answers.
 */
export const heardScript: Script = script(`
local info = redis.call('INFO', 'memory')
local function of(name) return tonumber(string.match(info, '\\n' .. name .. ':(%d+)') or '0') end
local most = of('maxmemory')
if most == 0 then most = of('total_system_memory') end
local full = most > 0 and of('used_memory') * 2 > most and '1' or '0'
if (redis.call('HGET', KEYS[1], 'n') or '0') == ARGV[1] then return full end
return full .. cjson.encode(redis.call('HGETALL', KEYS[1]))
`)

/** The last number, and numbers by name. */
export type Purges = Readonly<{ last: number; purges: ReadonlyMap<string, number> }>

/** Undefined: it is no list of them. */
export function purgesOf(text: string): Purges | undefined {
  const purges = new Map<string, number>()
  let last = 0
  try {
    const list: unknown = JSON.parse(text)
    // An empty table of Lua is an object.
    if (!Array.isArray(list)) return { last, purges }
    for (let i = 0; i + 1 < list.length; i += 2) {
      const number = Number(list[i + 1])
      if (!Number.isSafeInteger(number)) return undefined
      if (list[i] === 'n') last = number
      else purges.set(String(list[i]), number)
    }
    return { last, purges }
  } catch {
    return undefined
  }
}
