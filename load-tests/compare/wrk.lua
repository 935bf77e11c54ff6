-- Sends ready-made requests from a file (each ends with a zero byte), in turn, beginning at the given one. With a third argument each
-- connection pauses so many milliseconds before a request, on average.
local requests, count, at = {}, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for one in file:read("*a"):gmatch("([^%z]+)%z") do
    count = count + 1
    requests[count] = one
  end
  file:close()
  at = tonumber(args[2]) % count
  local pause = tonumber(args[3] or 0)
  if pause > 0 then
    math.randomseed(at)
    -- wrk asks for it only where it is there.
    delay = function() return math.random(0, 2 * pause) end
  end
end

function request()
  at = at % count + 1
  return requests[at]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\n{"requests":%d,"us":%d,"bytes":%d,"medianUs":%d,"errors":%d}\n', summary.requests,
    summary.duration, summary.bytes, latency:percentile(50), e.connect + e.read + e.write + e.status + e.timeout))
end
