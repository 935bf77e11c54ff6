#!lua name=cartload_cart

-- The atomic steps of the cart cache protocol; states, guards and races are explained in cart-cache.ts.
-- KEYS: the cart's hash, and its first page as one string, which is there only in state VALUE.
-- In the hash, s: state V(alue) | L(ease) | F(ence); v: version, or lowest version of a fence; t: token;
-- at: when a fence was set, in ms; m: what a value is of (only a value has it, see cart-cache.ts); h: head; 0..: chunks of lines;
-- d: what edits start from; f: version and fingerprint of its products (catalog/change-log.ts); k: the version of which a fence has kept
-- the chunks, so that its writer need not send them again.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- args: version, ttl ms, m, h, d, f, then number and text of chunks. The page is made here, so that nothing is sent twice.
local function set_value(keys, args, first)
  local m, h, f = args[first + 2], args[first + 3], args[first + 5]
  local fields = { 's', 'V', 'v', args[first], 'm', m, 'h', h, 'd', args[first + 4], 'f', args[first] .. '|' .. f }
  for i = first + 6, #args do fields[#fields + 1] = args[i] end
  redis.call('HSET', keys[1], unpack(fields))
  redis.call('PEXPIRE', keys[1], args[first + 1])
  local chunk = args[first + 6] == '0' and args[first + 7] or redis.call('HGET', keys[1], '0') or ''
  redis.call('SET', keys[2], m .. '|' .. #h .. '|' .. f .. '\n' .. h .. chunk, 'PX', args[first + 1])
  return 1
end

local function put_value(keys, args, first)
  redis.call('DEL', keys[1])
  return set_value(keys, args, first)
end

-- args: token, ttl ms
local function put_lease(keys, args)
  redis.call('DEL', keys[1], keys[2])
  redis.call('HSET', keys[1], 's', 'L', 't', args[1])
  redis.call('PEXPIRE', keys[1], args[2])
  return { 'L' }
end

local function fence_one(key, page, min, token, ttl, now)
  local s, v = unpack(redis.call('HMGET', key, 's', 'v'))
  if s == 'V' and tonumber(v) >= tonumber(min) then return 0 end
  if s == 'F' and tonumber(v) > tonumber(min) then return 0 end
  local fields = { 's', 'F', 'v', min, 't', token, 'at', now }
  if s == 'V' then
    redis.call('HDEL', key, 'm', 'h', 'd', 'f')
    fields[9], fields[10] = 'k', v
  elseif s ~= 'F' then
    redis.call('DEL', key)
  end
  redis.call('DEL', page)
  redis.call('HSET', key, unpack(fields))
  redis.call('PEXPIRE', key, ttl)
  return 1
end

-- FENCE key page ... | ttl, then minVersion token of each cart -> how many were set; where something newer is, that stays
local function fence(keys, args)
  local set, now = 0, now_ms()
  for i = 1, #keys, 2 do set = set + fence_one(keys[i], keys[i + 1], args[i + 1], args[i + 2], args[1], now) end
  return set
end

-- PUBLISH key | token version ttl m h d f, chunk text ... -> 1 published, 0 the fence is not ours any more
local function publish(keys, args)
  local s, t = unpack(redis.call('HMGET', keys[1], 's', 't'))
  if s ~= 'F' or t ~= args[1] then return 0 end
  return put_value(keys, args, 2)
end

-- PATCH key | version chunks chunks' token version ttl m h d f, chunk text ... -> 1 published, 0 the fence is not ours any more, -1 its
-- chunks are not those of that version: then the next reader fills. How many chunks there were, how many there are; those that changed.
local function patch(keys, args)
  local key = keys[1]
  local s, t, k = unpack(redis.call('HMGET', key, 's', 't', 'k'))
  if s ~= 'F' or t ~= args[4] then return 0 end
  if k ~= args[1] then
    redis.call('DEL', key)
    return -1
  end
  local gone = { 't', 'at', 'k' }
  for chunk = tonumber(args[3]), tonumber(args[2]) - 1 do gone[#gone + 1] = tostring(chunk) end
  redis.call('HDEL', key, unpack(gone))
  return set_value(keys, args, 5)
end

-- LEASE key | token ttl -> {'L'} ours, {'B'} another fills, {'V'} filled meanwhile, {'F', min, token, age ms}
local function lease(keys, args)
  local key = keys[1]
  local s, v, t, at = unpack(redis.call('HMGET', key, 's', 'v', 't', 'at'))
  if not s then
    return put_lease(keys, args)
  end
  if s == 'F' then return { 'F', v, t, tostring(now_ms() - tonumber(at)) } end
  if s == 'L' then return { 'B' } end
  return { 'V' }
end

-- RENEW key | token ttl m -> {'L'} ours, {'B'} another reader was first. Takes over a VALUE whose
-- totals are old, so that one reader calculates it anew; also one of which only the first page was not evicted.
local function renew(keys, args)
  local s, m = unpack(redis.call('HMGET', keys[1], 's', 'm'))
  if s and m ~= args[3] then return { 'B' } end
  return put_lease(keys, args)
end

-- FILL key | token version ttl m h d f, chunk text ... -> 1 filled, 0 the lease is not ours any more
local function fill(keys, args)
  local s, t = unpack(redis.call('HMGET', keys[1], 's', 't'))
  if s ~= 'L' or t ~= args[1] then return 0 end
  return put_value(keys, args, 2)
end

redis.register_function('cartload_fence', fence)
redis.register_function('cartload_publish', publish)
redis.register_function('cartload_patch', patch)
redis.register_function('cartload_lease', lease)
redis.register_function('cartload_renew', renew)
redis.register_function('cartload_fill', fill)
redis.register_function('cartload_resolve', publish) -- the same step, taken by a reader for a writer that is gone
