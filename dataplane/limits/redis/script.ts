import { createHash } from 'node:crypto'
import { prelude } from './algorithms.lua.ts'

/** What runs in Redis: it does so alone, so that all limits of a request are looked at and charged in one step. */
export type Script = Readonly<{ text: string; sha: string }>

export const script = (text: string): Script => ({ text, sha: createHash('sha1').update(text).digest('hex') })

/**
 * Decides requests one after the other, each whole. KEYS: for each request the count of each limit, then the
 * reservations of each that holds. ARGV: the requests, then the name of each. A request: its number, how many limits,
 * then of each kind, window (0: month), amount, burst, units, 1 if shadow, 1 if it holds.
 * Answers for each request its number, 1 if allowed, then of each limit 1 if it allows, remaining, reset after, retry
 * after, where charged. A count that several requests are about is read and written once.
 */
export const takeScript = script(`${prelude}
-- How long until what is asked for is there again.
local function retry_after(l, left, reset)
  local kind = l.kind
  if l.need > capacity(l) then return huge end
  if kind == FIXED then return reset end
  if kind == SLIDING then
    local start, stop, most = start_of(l.window, now), end_of(l.window, now), l.amount - l.need
    if l.b <= most then return max(1, ceil((1 - (most - l.b) / l.c) * (stop - start)) - (now - start)) end
    return stop - now + ceil((1 - most / l.b) * (end_of(l.window, stop) - stop))
  end
  if kind == BUCKET then
    if l.amount == 0 then return huge end
    return ceil((l.need - left) * span_of(l.window) / l.amount)
  end
  if kind == LOG then
    -- Not further than a few entries: refusing must stay cheap, and asking again is cheap too.
    local sum, time, most = l.sum, 0, l.amount - l.need
    for number = l.first, min(l.next - 1, l.first + 63) do
      if sum <= most then break end
      local units
      time, units = entry(l, string.format('%.0f', number))
      sum = sum - units
    end
    return max(1, time + span_of(l.window) - now)
  end
  return 1000
end

local function reset_after(l)
  local kind = l.kind
  if kind == FIXED or kind == SLIDING then return end_of(l.window, now) - now end
  if kind == BUCKET then
    if l.b > 0 then return ceil(l.b * span_of(l.window) / l.amount) end
  elseif kind == LOG then
    if l.first < l.next then return last_time(l) + span_of(l.window) - now end
  end
  return 0
end

-- All in one call; what is no string, as a log and reservations are not, is nothing here.
local raws = call('MGET', unpack(KEYS))
local known, out, n, nextkey = {}, {}, 0, 1
for request = 1, count do
  local seq, size = unpack_('<dd', ARGV[1], at)
  at = at + 16
  local limits, allowed, held = {}, 1, nextkey + size
  for i = 1, size do
    local key = KEYS[nextkey + i - 1]
    local l = known[key] or {}
    limits[i] = l
    l.kind, l.window, l.amount, l.burst, l.units, l.shadow, l.holds = unpack_('<ddddddd', ARGV[1], at)
    at = at + 56
    if not l.key then
      known[key] = l
      load(l, key, raws[nextkey + i - 1])
    end
    advance(l)
    l.need, l.holding = l.units, nil
    if l.holds == 1 then
      l.holding = KEYS[held]
      held = held + 1
      if not l.given then give_back(l, l.holding) end
      l.given = true
      if l.need == 0 then l.need = LEAST end
    end
    l.allows = l.need <= free(l) + ROUNDING
    if not l.allows and l.shadow == 0 then allowed = 0 end
  end
  nextkey = held
  out[n + 1], out[n + 2] = seq, allowed
  n = n + 2
  for i = 1, size do
    local l, where = limits[i], 0
    if allowed == 1 and l.allows and (l.units > 0 or l.holds == 1) then
      where = charge(l, l.units)
      if l.holding then hold(l.holding, l.units, where, ARGV[1 + request]) end
    end
    local left, reset = free(l), reset_after(l)
    out[n + 1], out[n + 2], out[n + 3], out[n + 5] = l.allows and 1 or 0, max(0, left), reset, where
    out[n + 4] = l.allows and 0 or retry_after(l, left, reset)
    n = n + 5
  end
end
for _, l in pairs(known) do save(l) end
local answers = {}
for i = 1, n, 64 do answers[#answers + 1] = pack('<' .. string.rep('d', min(64, n - i + 1)), unpack(out, i, min(i + 63, n))) end
return table.concat(answers)
`)

/** What `applyScript` does, each to one count: see there. */
export const Op = { settle: 1, renew: 2, add: 3, adjust: 4 } as const

/**
 * KEYS: for each operation the count and its reservations, or one key and no operation: a question whether anybody is
 * there. ARGV: the operations, then the name of each reservation. An operation: which, kind, window, amount, burst, and
 * settle: reserved, where, actual, 1 if it was never sent before; renew: reserved, where; adjust: difference, where;
 * add: what was used since when: the three cells. Answers for each where it is charged now.
 */
export const applyScript = script(`${prelude}
local out = {}
for i = 1, count do
  local l, op, x, y, z, first = {}
  op, l.kind, l.window, l.amount, l.burst, x, y, z, first = unpack_('<ddddddddd', ARGV[1], at)
  at = at + 72
  local key, holds, id = KEYS[2 * i - 1], KEYS[2 * i], ARGV[1 + i]
  load(l, key, l.kind ~= LOG and call('GET', key))
  advance(l)
  local where = y
  if op == 1 then
    if call('ZREM', holds, pack('<dd', x, y) .. id) == 1 then adjust(l, y, z - x)
    elseif first == 1 and z > 0 then
      -- It was given back in the meantime.
      if l.kind == LOG or l.kind == BUCKET then charge(l, z) else adjust(l, y, z) end
    end
  elseif op == 2 then
    local member = pack('<dd', x, y) .. id
    if not call('ZSCORE', holds, member) then
      if l.kind == FIXED or l.kind == SLIDING then
        if y == 0 then y = l.a end
        adjust(l, y, x)
      else y = charge(l, x) end
      where = y
    else l.dirty = true end
    hold(holds, x, y, id)
  elseif op == 3 then
    if l.kind == FIXED or l.kind == SLIDING then
      adjust(l, x, y)
      if l.kind == SLIDING then adjust(l, start_before(l.window, x), z) end
    elseif l.kind == BUCKET then
      l.b, l.dirty = max(0, l.b + y), true
    elseif y > 0 then charge(l, y) end
  elseif op == 4 then adjust(l, y, x) end
  save(l)
  out[i] = where
end
return pack('<' .. string.rep('d', #out), unpack(out))
`)

/** KEYS: the proxies of a fleet. ARGV: lease in milliseconds (0: it leaves), this one. Answers how many there are. */
export const presentScript = script(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if ARGV[1] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[2])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[1]), ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return struct.pack('<d', redis.call('ZCARD', KEYS[1]))
`)
