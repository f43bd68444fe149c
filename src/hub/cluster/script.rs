//! What Redis does for a room in one step: adding a message, looking through a room's stream, keeping account of who is
//! there, what moderators have decided, and giving the lead to one gateway.

use redis::Script;

/// Adds a message to a room's stream and tells the room's channel of it, so that both have one order.
///
/// KEYS: the stream. ARGV: the channel, how many messages are kept, for how many milliseconds each (0: for ever), above which
/// place (milliseconds, sequence), whether it may be there already, its key, then names and values in turn.
/// Answers its place.
///
/// The place is chosen here: sequences from 0x8000 on belong to gateways that are apart, and members who have seen ids of
/// theirs must not see smaller ones.
const ADD: &str = r"
local stream, channel, length = KEYS[1], ARGV[1], tonumber(ARGV[2])
local last = { 0, 0 }
if redis.call('EXISTS', stream) == 1 then
  local info = redis.call('XINFO', 'STREAM', stream)
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then
      local ms, seq = string.match(info[at + 1], '^(%d+)-(%d+)$')
      last = { tonumber(ms), tonumber(seq) }
    end
  end
end
if ARGV[6] == '1' then
  for _, entry in ipairs(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', length)) do
    local fields = entry[2]
    for at = 1, #fields, 2 do
      if fields[at] == 'key' and fields[at + 1] == ARGV[7] then return entry[1] end
    end
  end
end
local time = redis.call('TIME')
local now = { tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000), 0 }
local function above(place)
  if place[2] + 1 < 0x8000 then return { place[1], place[2] + 1 } end
  return { place[1] + 1, 0 }
end
local function later(a, b)
  if a[1] > b[1] or (a[1] == b[1] and a[2] > b[2]) then return a end
  return b
end
local place = later(now, later(above(last), above({ tonumber(ARGV[4]), tonumber(ARGV[5]) })))
local name = string.format('%d-%d', place[1], place[2])
local command = { 'XADD', stream, 'MAXLEN', '~', length, name }
local told = {}
for at = 8, #ARGV, 2 do
  command[#command + 1] = ARGV[at]
  command[#command + 1] = ARGV[at + 1]
  told[ARGV[at]] = ARGV[at + 1]
end
redis.call(unpack(command))
if ARGV[3] ~= '0' then
  redis.call('XTRIM', stream, 'MINID', string.format('%d-0', math.max(now[1] - tonumber(ARGV[3]), 0)))
  redis.call('PEXPIRE', stream, ARGV[3])
else
  redis.call('PERSIST', stream)
end
local head = string.format('{%q:%q,%q:%q,%q:%q,%q:%d,', 'id', string.format('%012x%04x', place[1], place[2]),
  'stream', name, 'prev', string.format('%012x%04x', last[1], last[2]), 'time', place[1])
redis.call('PUBLISH', channel, head .. string.sub(cjson.encode(told), 2))
return name
";

/// Writes down who is here on one gateway, tells the room's channel when that has changed, and forgets gateways that have
/// not done so for too long.
///
/// KEYS: a hash. ARGV: the channel, the gateway, for how many milliseconds this holds, who is here as JSON (empty: nobody),
/// whether others are to be told. Answers the other gateways, each with what it wrote down.
const ATTEND: &str = r"
local who, channel, node, expiry = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if ARGV[4] == '' then
  redis.call('HDEL', who, node)
else
  redis.call('HSET', who, node, string.format('%d', now + expiry) .. ' ' .. ARGV[4])
  redis.call('PEXPIRE', who, expiry * 2)
end
if ARGV[5] == '1' then redis.call('PUBLISH', channel, string.format('{%q:%q}', 'attend', node)) end
local others, all = {}, redis.call('HGETALL', who)
for at = 1, #all, 2 do
  if all[at] ~= node then
    local till, people = string.match(all[at + 1], '^(%d+) (.*)$')
    if not till or tonumber(till) < now then
      redis.call('HDEL', who, all[at])
    else
      others[#others + 1] = all[at]
      others[#others + 1] = people
    end
  end
end
return others
";

/// Looks at a room's stream. KEYS: the stream. ARGV: behind which place, how many messages at most. Answers the last place
/// that was given out, and the messages, oldest first.
const LOOK: &str = r"
local last = '0-0'
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then last = info[at + 1] end
  end
end
return { last, redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2]) }
";

/// Writes down what a moderator has decided, unless something later was decided about the same, and tells the hub's channel.
///
/// KEYS: a hash, a sorted set of when each of it ends, a hash of how often anything was written down. ARGV: the channel, the
/// kind, what it is about, its moment (in microseconds), its key, its end (in milliseconds since 1970), how many are kept, all of it as
/// JSON. Answers 1 when it holds.
const DECREE: &str = r"
local hash, ends, counts = KEYS[1], KEYS[2], KEYS[3]
local channel, book, about, at, key, till, most, text = unpack(ARGV)
local function drop(all)
  for _, one in ipairs(all) do
    redis.call('HDEL', hash, one)
    redis.call('ZREM', ends, one)
  end
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
drop(redis.call('ZRANGEBYSCORE', ends, '-inf', string.format('%d', now), 'LIMIT', 0, 1000))
local known = redis.call('HGET', hash, about)
if known then
  local sound, have = pcall(cjson.decode, known)
  if sound and type(have) == 'table' and type(have.at) == 'string' and type(have.key) == 'string' then
    local before, moment = tonumber(have.at) or 0, tonumber(at)
    if before > moment or (before == moment and have.key >= key) then return 0 end
  end
end
redis.call('HSET', hash, about, text)
redis.call('ZADD', ends, till, about)
local over = redis.call('ZCARD', ends) - tonumber(most)
if over > 0 then drop(redis.call('ZRANGE', ends, 0, over - 1)) end
local last = redis.call('ZRANGE', ends, -1, -1, 'WITHSCORES')
if last[2] then
  redis.call('PEXPIREAT', hash, string.format('%d', tonumber(last[2])))
  redis.call('PEXPIREAT', ends, string.format('%d', tonumber(last[2])))
end
local count = redis.call('HINCRBY', counts, book, 1)
redis.call('PUBLISH', channel, string.format('{%q:%q,', 'count', string.format('%d', count)) .. string.sub(text, 2))
return 1
";

/// Takes the lead, or keeps it. KEYS: the lease. ARGV: the gateway, for how many milliseconds. Answers 1 for who has it.
const LEAD: &str = r"
local leads = redis.call('GET', KEYS[1])
if not leads then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
if leads ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
";

/// Gives the lead away. KEYS: the lease. ARGV: the gateway.
const YIELD: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
";

/// All of them, with their hashes.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) add: Script,
    pub(super) look: Script,
    pub(super) attend: Script,
    pub(super) decree: Script,
    pub(super) lead: Script,
    pub(super) cede: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            add: Script::new(ADD),
            look: Script::new(LOOK),
            attend: Script::new(ATTEND),
            decree: Script::new(DECREE),
            lead: Script::new(LEAD),
            cede: Script::new(YIELD),
        }
    }
}
