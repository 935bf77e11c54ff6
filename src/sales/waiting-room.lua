#!lua name=cartload_queue

-- The queue of one sale. Keys, all with the hash tag {sale:<id>}:
--   waiting   sorted set: user -> number in the order of arrival
--   admitted  sorted set: user -> until when the place holds, ms
--   state     hash: arrivals, admitted in all, time of the first admission, gone (the stock has run out), factor
-- Times are this server's: instances' clocks may be wrong.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function keep(keys, seconds)
  for _, key in ipairs(keys) do redis.call('EXPIRE', key, seconds) end
end

-- What a user sees: kind, position, admitted so far, ms since the first admission, ms that the place still holds
local function view_of(keys, user, now, used_within, seconds)
  local admitted_until = redis.call('ZSCORE', keys[2], user)
  local state = redis.call('HMGET', keys[3], 'total', 'since', 'gone')
  local total, since = tonumber(state[1] or 0), tonumber(state[2] or now)
  if admitted_until and tonumber(admitted_until) > now then
    local holds = tonumber(admitted_until)
    -- The first poll of an admitted buyer extends the time of the place.
    if used_within > 0 and redis.call('HSETNX', keys[3], 'taken:' .. user, '1') == 1 then
      holds = now + used_within
      redis.call('ZADD', keys[2], holds, user)
      keep(keys, seconds)
    end
    return {'admitted', 0, total, now - since, holds - now}
  end
  if state[3] == '1' then return {'gone', 0, total, now - since, 0} end
  local rank = redis.call('ZRANK', keys[1], user)
  if rank then return {'waiting', rank + 1, total, now - since, 0} end
  return {'absent', 0, total, now - since, 0}
end

-- ENTER waiting, admitted, state | user, ms within which a place is to be used, seconds to keep the queue
local function enter(keys, args)
  local now = now_ms()
  local known = view_of(keys, args[1], now, tonumber(args[2]), args[3])
  if known[1] ~= 'absent' then return known end
  redis.call('ZADD', keys[1], redis.call('HINCRBY', keys[3], 'arrivals', 1), args[1])
  redis.call('HDEL', keys[3], 'taken:' .. args[1])
  keep(keys, args[3])
  return view_of(keys, args[1], now, 0, args[3])
end

-- LOOK waiting, admitted, state | user, ms within which a place is to be used, seconds to keep the queue
local function look(keys, args)
  return view_of(keys, args[1], now_ms(), tonumber(args[2]), args[3])
end

-- LEAVE waiting, admitted, state | user
local function leave(keys, args)
  redis.call('HDEL', keys[3], 'taken:' .. args[1])
  return redis.call('ZREM', keys[1], args[1]) + redis.call('ZREM', keys[2], args[1])
end

-- ADMIT waiting, admitted, state | places that may be out at once, most at once, ms within which a place is to be taken, gone '1' or '0',
-- seconds to keep the queue
local function admit(keys, args)
  local now = now_ms()
  if args[4] == '1' then
    redis.call('HSET', keys[3], 'gone', '1')
    redis.call('DEL', keys[1])
    keep(keys, args[5])
    return 0
  end
  if redis.call('HGET', keys[3], 'gone') == '1' then redis.call('HSET', keys[3], 'gone', '0') end
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', keys[2], '-inf', now)) do
    redis.call('HDEL', keys[3], 'taken:' .. user)
    redis.call('ZREM', keys[2], user)
  end
  local room = math.min(tonumber(args[1]) - redis.call('ZCARD', keys[2]), tonumber(args[2]))
  if room <= 0 then return 0 end
  local next_ones = redis.call('ZPOPMIN', keys[1], room)
  for at = 1, #next_ones, 2 do redis.call('ZADD', keys[2], now + tonumber(args[3]), next_ones[at]) end
  local count = #next_ones / 2
  if count > 0 then
    redis.call('HINCRBY', keys[3], 'total', count)
    redis.call('HSETNX', keys[3], 'since', now)
    keep(keys, args[5])
  end
  return count
end

redis.register_function('cartload_queue_enter', enter)
redis.register_function('cartload_queue_look', look)
redis.register_function('cartload_queue_leave', leave)
redis.register_function('cartload_queue_admit', admit)
