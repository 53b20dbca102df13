"""Leases: which machine fetches what, while the others wait for it.

A lease is of a run of units of one thing: blocks of an object, or the one answer to a question. A machine that wants
what is missing takes it; where another one holds it already, it learns how far that one has come, and decides whether
to wait (`worth_waiting`). A lease ends when it is given back, or 2 s after its holder last renewed it, by the server's
clock alone: a machine that dies costs the others no more.

It owns the scripts and that decision. It must not know what a unit is, nor how it is fetched. A lease is never needed
for a byte to be right: two machines that fetch the same only send one request too many.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from cffs.cache.disk_format import MARK, MARK_OFFSET
from cffs.shared.redis_client import Script
from cffs.shared.server import SharedServer
from cffs.shared.write_queue import WriteQueue

#: A lease that was not renewed for this long is over.
LEASE_SECONDS: Final = 2.0
#: A holder that has brought nothing for this long is slow: a machine that waits for it asks by itself.
IDLE_SECONDS: Final = 1.0
#: A unit that is no larger is returned with the news that it is there.
SMALL_NBYTES: Final = 4096
#: What a request of one's own is taken to cost before its first byte.
_OWN_LATENCY_SECONDS: Final = 0.25
#: Present units in the middle of what is wanted are worth a second request from here on, or where nothing follows them.
_LEAST_PRESENT: Final = 4

#: KEYS: the leases of the thing, then the units that are wanted, as far as they have keys. ARGV: token, first and stop
#: of the units, milliseconds of a lease, 1 to take it though another machine holds it, the mark of a unit that is
#: there and its offset, how many of those are worth ending before, and the largest value that is returned.
#: Returns 0 and where to stop for a lease that was taken; 1 where the first unit is there, with a small value and the
#: milliseconds it lasts; 2 and the holder's first, reached and stop, and the milliseconds since it began and moved.
_TAKE: Final = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local first, stop = tonumber(ARGV[2]), tonumber(ARGV[3])
local function is_there(key)
    local from = tonumber(ARGV[7])
    return redis.pcall('GETRANGE', key, from, from + #ARGV[6] - 1) == ARGV[6]
end
if KEYS[2] and is_there(KEYS[2]) then
    if redis.call('STRLEN', KEYS[2]) > tonumber(ARGV[9]) then
        return {1}
    end
    return {1, redis.call('GET', KEYS[2]), redis.call('PTTL', KEYS[2])}
end
local holder
local entries = redis.call('HGETALL', KEYS[1])
for i = 1, #entries, 2 do
    local a, b, c, d, e = string.match(entries[i + 1], '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    local other = a and {tonumber(a), tonumber(b), tonumber(c), now - tonumber(d), now - tonumber(e)}
    if not other or other[5] >= tonumber(ARGV[4]) or other[5] < 0 then
        redis.call('HDEL', KEYS[1], entries[i])
    elseif other[1] <= first and first < other[3] then
        if not holder or other[2] > holder[2] then
            holder = other
        end
    elseif other[1] > first and other[1] < stop then
        stop = other[1]
    end
end
if holder and ARGV[5] ~= '1' then
    return {2, holder[1], holder[2], holder[3], holder[4], holder[5]}
end
local run = 0
for i = 3, #KEYS do
    if first + i - 2 >= stop then
        break
    end
    if is_there(KEYS[i]) then
        run = run + 1
        if run == tonumber(ARGV[8]) or first + i - 1 == stop then
            stop = first + i - 1 - run
            break
        end
    else
        run = 0
    end
end
local at = string.format('%.0f', now)
redis.call('HSET', KEYS[1], ARGV[1], table.concat({ARGV[2], ARGV[2], string.format('%.0f', stop), at, at}, ' '))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {0, stop}
""")

#: ARGV: token, how far its holder has come, milliseconds of a lease.
_RENEW: Final = Script("""
local entry = redis.call('HGET', KEYS[1], ARGV[1])
local a, c, d = string.match(entry or '', '^(%d+) %d+ (%d+) (%d+) %d+$')
if not a then
    return 0
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], ARGV[1], table.concat({a, ARGV[2], c, d, now}, ' '))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")

#: ARGV: token.
_GIVE_BACK: Final = Script("return redis.call('HDEL', KEYS[1], ARGV[1])")


@dataclass(frozen=True, slots=True)
class FetchLease:
    """A lease that this machine holds, of the units before `stop`; `is_cut` where more were wanted."""

    key: bytes
    token: str
    stop: int
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Present:
    """The first wanted unit is there. A small `value` is given with it, and for how many milliseconds that lasts."""

    value: bytes | None = None
    left_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Another machine's lease: its units, how far it has come, for how long it runs and has brought nothing new."""

    first: int
    reached: int
    stop: int
    running_seconds: float
    idle_seconds: float


def worth_waiting(holder: Holder, wanted: int, *, waited_seconds: float, patience_seconds: float) -> bool:
    """True where waiting for the holder is better than asking for the `wanted` units oneself. Pure.

    What the holder brings can be had once all of it has come. So a reader of a little does not wait for a machine that
    has a lot before it, and no machine waits for one that stands still.
    """
    if waited_seconds >= patience_seconds or holder.idle_seconds >= IDLE_SECONDS:
        return False
    if holder.reached <= holder.first or holder.running_seconds <= 0:
        return True
    a_unit_seconds = holder.running_seconds / (holder.reached - holder.first)
    left_seconds = max(0, holder.stop - holder.reached) * a_unit_seconds
    own_seconds = _OWN_LATENCY_SECONDS + wanted * a_unit_seconds
    return waited_seconds + left_seconds <= patience_seconds and left_seconds <= 2 * own_seconds


class Leases:
    """The leases on one server. Every method is a checkpoint where the server is asked, for at most 50 ms, and raises
    nothing."""

    def __init__(self, server: SharedServer, queue: WriteQueue) -> None:
        """By `queue` leases are given back that the server may have given, and whose takers never learned of it."""
        self._server = server
        self._queue = queue

    async def take(
        self, key: bytes, first: int, stop: int, *, present: Sequence[bytes] = (), is_forced: bool = False
    ) -> FetchLease | Present | Holder | None:
        """Take the lease of the units [first, stop) of what has its leases under `key`; None where the server cannot be
        had.

        The lease ends before what another machine holds, and before units that are there. `present` are the keys of the
        units from `first` on, as far as that is looked at; one that is there bears the mark of a whole block.
        `is_forced`: take it beside the machine that holds it.
        """
        token = secrets.token_hex(8)
        arguments = (
            token,
            first,
            stop,
            int(LEASE_SECONDS * 1000),
            int(is_forced),
            MARK,
            MARK_OFFSET,
            _LEAST_PRESENT,
            SMALL_NBYTES,
        )
        reply = None
        try:
            reply = await self._server.run(_TAKE, (key, *present), arguments)
        finally:
            if reply is None:  # others would take this machine for one that fetches
                self._queue.add(key, partial(self.give_back, FetchLease(key, token, stop)))
        return taken(reply, key, token, first, stop)

    async def renew(self, lease: FetchLease, reached: int) -> bool:
        """Say how far its holder has come; False where the lease is over, or the server cannot be had."""
        arguments = (lease.token, reached, int(LEASE_SECONDS * 1000))
        return await self._server.run(_RENEW, (lease.key,), arguments) == 1

    async def give_back(self, lease: FetchLease) -> None:
        """End the lease."""
        await self._server.run(_GIVE_BACK, (lease.key,), (lease.token,))


def taken(reply: object, key: bytes, token: str, first: int, stop: int) -> FetchLease | Present | Holder | None:
    """What a reply to taking a lease of [first, stop) says; None for one that makes no sense. Pure."""
    match reply if isinstance(reply, list) else None:
        case [0, int(found)] if first < found <= stop:
            return FetchLease(key, token, found, is_cut=found < stop)
        case [1]:
            return Present()
        case [1, bytes(value), int(left_ms)]:
            return Present(value, left_ms)
        case [2, int(begin), int(reached), int(end), int(running_ms), int(idle_ms)] if begin <= reached:
            return Holder(
                first=begin,
                reached=reached,
                stop=end,
                running_seconds=running_ms / 1000,
                idle_seconds=max(0, idle_ms) / 1000,
            )
    return None
