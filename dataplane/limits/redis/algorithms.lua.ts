/**
 * The algorithms of `algorithms.ts` in Lua, where the counts are: Redis runs a script alone, so that all limits of a
 * request are looked at and charged in one step. Numbers travel as little-endian doubles (`frames.ts`), state as three
 * of them in a string, a SlidingLog as a hash. Reservations stand in a sorted set beside their count, by the time at
 * which they are given back unless renewed. Needs Redis 7 or Valkey: what a script does is replicated, not the script.
 */
export const prelude = `
local FIXED, SLIDING, BUCKET, LOG = 1, 2, 3, 4
local MONTH, FINE, LEAST, ROUNDING, LONGEST = 2629746000, 10000, 1e-6, 1e-9, 34560000000
local floor, ceil, max, min, huge = math.floor, math.ceil, math.max, math.min, math.huge
local pack, unpack_ = struct.pack, struct.unpack
local call = redis.call

local now, lease, count = unpack_('<ddd', ARGV[1])
local at = 25
if now == 0 then
  local time = call('TIME')
  now = time[1] * 1000 + floor(time[2] / 1000)
end

-- The first millisecond of a month so many months after that of a time.
local function month(time, months)
  local day = floor(time / 86400000) + 719468
  local era = floor(day / 146097)
  local doe = day - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local mp = floor((5 * (doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))) + 2) / 153)
  local m = (yoe + era * 400) * 12 + mp + months
  local y = floor(m / 12)
  m = m - y * 12
  era = floor(y / 400)
  yoe = y - era * 400
  doe = yoe * 365 + floor(yoe / 4) - floor(yoe / 100) + floor((153 * m + 2) / 5)
  return (era * 146097 + doe - 719468) * 86400000
end

local function start_of(window, time) if window == 0 then return month(time, 0) end return time - time % window end
local function end_of(window, time) if window == 0 then return month(time, 1) end return time - time % window + window end
local function start_before(window, start) if window == 0 then return month(start, -1) end return start - window end
local function span_of(window) if window == 0 then return MONTH end return window end

-- What is asked for: kind, window, amount, burst. Its state: a, b, c as the three cells; a log: first, next, sum.
local function load(l, key, raw)
  l.key = key
  if l.kind == LOG then
    local f = call('HMGET', key, 'f', 'n', 's')
    l.first, l.next, l.sum = tonumber(f[1]) or now, tonumber(f[2]) or now, tonumber(f[3]) or 0
    return
  end
  if raw then l.a, l.b, l.c = unpack_('<ddd', raw) else l.a, l.b, l.c = 0, 0, 0 end
end

local function entry(l, number)
  local raw = call('HGET', l.key, number)
  if raw then return unpack_('<dd', raw) end
  return 0, 0
end

local function advance(l)
  local kind = l.kind
  if kind == FIXED then
    local start = start_of(l.window, now)
    if l.a < start then l.a, l.b = start, 0 end
  elseif kind == SLIDING then
    local start = start_of(l.window, now)
    if l.a < start then
      if l.a >= start_before(l.window, start) then l.c = l.b else l.c = 0 end
      l.a, l.b = start, 0
    end
  elseif kind == BUCKET then
    if l.a < now then
      l.b = max(0, l.b - (now - l.a) * l.amount / span_of(l.window))
      l.a = now
    end
  elseif kind == LOG then
    local till = now - span_of(l.window)
    while l.first < l.next do
      local fields, old = {}, {}
      for i = l.first, min(l.first + 63, l.next - 1) do fields[#fields + 1] = string.format('%.0f', i) end
      for i, raw in ipairs(call('HMGET', l.key, unpack(fields))) do
        local time, units = unpack_('<dd', raw or pack('<dd', 0, 0))
        if time > till then break end
        old[i] = fields[i]
        l.sum = l.sum - units
      end
      if #old > 0 then
        call('HDEL', l.key, unpack(old))
        l.first, l.dirty = l.first + #old, true
      end
      if #old < #fields then break end
    end
    if l.first == l.next then l.sum = 0 end
  end
end

local function capacity(l) if l.kind == BUCKET then return l.amount + l.burst end return l.amount end

local function free(l)
  if l.kind == LOG then return l.amount - l.sum end
  if l.kind == SLIDING then
    local start, stop = start_of(l.window, now), end_of(l.window, now)
    return l.amount - l.b - l.c * (1 - (now - start) / (stop - start))
  end
  return capacity(l) - l.b
end

local function change_entry(l, number, difference)
  local time, units = entry(l, number)
  call('HSET', l.key, number, pack('<dd', time, units + difference))
  l.sum = l.sum + difference
end

local function charge(l, units)
  l.dirty = true
  if l.kind == LOG then
    local grain, time = 1, now
    if l.next - l.first >= FINE then grain = ceil(span_of(l.window) / FINE) end
    time = ceil(time / grain) * grain
    if l.next > l.first then
      local last, before = entry(l, string.format('%.0f', l.next - 1))
      if last >= time then
        call('HSET', l.key, string.format('%.0f', l.next - 1), pack('<dd', last, before + units))
        l.sum = l.sum + units
        return l.next - 1
      end
    end
    call('HSET', l.key, string.format('%.0f', l.next), pack('<dd', time, units))
    l.sum, l.next = l.sum + units, l.next + 1
    return l.next - 1
  end
  l.b = l.b + units
  if l.kind == FIXED or l.kind == SLIDING then return l.a end
  return 0
end

local function adjust(l, where, difference)
  l.dirty = true
  if l.kind == LOG then
    if where < l.first or where >= l.next then return end
    local number = string.format('%.0f', where)
    local _, units = entry(l, number)
    change_entry(l, number, max(difference, -units))
    return
  end
  if (l.kind == FIXED or l.kind == SLIDING) and where ~= l.a then
    if l.kind == SLIDING and where == start_before(l.window, l.a) then l.c = max(0, l.c + difference) end
    return
  end
  l.b = max(0, l.b + difference)
end

local function last_time(l) return (entry(l, string.format('%.0f', l.next - 1))) end

local function save(l)
  if not l.dirty then return end
  local kind, till = l.kind, now
  if kind == FIXED then till = end_of(l.window, now)
  elseif kind == SLIDING then till = end_of(l.window, end_of(l.window, now))
  elseif kind == BUCKET then
    if l.b > 0 then till = now + l.b * span_of(l.window) / l.amount end
  elseif kind == LOG then
    if l.first < l.next then till = last_time(l) + span_of(l.window) end
  elseif l.b > 0 then till = now + 2 * lease end
  if till <= now then
    call('DEL', l.key)
    return
  end
  -- A whole number goes to Redis as its digits.
  local left = ceil(min(till - now, LONGEST))
  if kind == LOG then
    call('HSET', l.key, 'f', string.format('%.0f', l.first), 'n', string.format('%.0f', l.next), 's', string.format('%.17g', l.sum))
    call('PEXPIRE', l.key, left)
  else
    call('SET', l.key, pack('<ddd', l.a, l.b, l.c), 'PX', left)
  end
end

-- Gives back the reservations whose proxy has not been heard of for a lease.
local function give_back(l, holds)
  for _, member in ipairs(call('ZRANGEBYSCORE', holds, '-inf', string.format('%.0f', now), 'LIMIT', 0, 64)) do
    call('ZREM', holds, member)
    local units, where = unpack_('<dd', member)
    adjust(l, where, -units)
  end
end

local function hold(holds, units, where, id)
  call('ZADD', holds, string.format('%.0f', now + lease), pack('<dd', units, where) .. id)
  call('PEXPIRE', holds, string.format('%.0f', 2 * lease))
end
`
