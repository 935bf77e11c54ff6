#!lua name=cartload_sessions

-- Sessions of one user: a string per session, and a sorted set of their names by the time they end at the latest.

-- CREATE session, index | value, ttl ms, ends at ms, now ms, most sessions -> 1
local function create(keys, args)
  local index = keys[2]
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  redis.call('ZREMRANGEBYSCORE', index, '-inf', args[4])
  redis.call('ZADD', index, args[3], keys[1])
  local surplus = redis.call('ZCARD', index) - tonumber(args[5])
  if surplus > 0 then
    for _, name in ipairs(redis.call('ZRANGE', index, 0, surplus - 1)) do redis.call('DEL', name) end
    redis.call('ZREMRANGEBYRANK', index, 0, surplus - 1)
  end
  redis.call('PEXPIREAT', index, redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2])
  return 1
end

-- TOUCH session | old value, new value, ttl ms -> 1; only where the session still is what the caller read
local function touch(keys, args)
  if redis.call('GET', keys[1]) ~= args[1] then return 0 end
  redis.call('SET', keys[1], args[2], 'PX', args[3])
  return 1
end

-- END session, index -> 1 ended, 0 it was not there
local function finish(keys)
  redis.call('ZREM', keys[2], keys[1])
  return redis.call('DEL', keys[1])
end

-- END ALL index | session to keep or '' -> how many
local function finish_all(keys, args)
  local ended = 0
  for _, name in ipairs(redis.call('ZRANGE', keys[1], 0, -1)) do
    if name ~= args[1] then
      ended = ended + redis.call('DEL', name)
      redis.call('ZREM', keys[1], name)
    end
  end
  return ended
end

-- COUNT counter | ttl s -> how often within the window, this one included
local function count(keys, args)
  local n = redis.call('INCR', keys[1])
  if n == 1 then redis.call('EXPIRE', keys[1], args[1]) end
  return n
end

-- FAILED counter | now ms, window s : counts a failure and keeps when it was
local function failed(keys, args)
  redis.call('HINCRBY', keys[1], 'n', 1)
  redis.call('HSET', keys[1], 'at', args[1])
  redis.call('EXPIRE', keys[1], args[2])
  return 1
end

redis.register_function('cartload_session_create', create)
redis.register_function('cartload_session_touch', touch)
redis.register_function('cartload_session_end', finish)
redis.register_function('cartload_session_end_all', finish_all)
redis.register_function('cartload_count', count)
redis.register_function('cartload_failed', failed)
