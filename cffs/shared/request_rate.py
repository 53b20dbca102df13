"""The request rate and the holds of all machines, on the shared server.

One script does it in one step, by the server's clock: it knows when the last requests of all machines left, says
whether one more may, and counts it. Machines' own clocks do not matter. The rule is that of `callfire/departure_log`:
fewer than the limit within the last window, which allows the burst that people meet. The usual algorithm for a rate on
a server (GCRA) would allow up to twice the limit in a span with such a burst, or make each request wait without one.

The answer also names the pauses that the service asked any of the machines for, how many machines there are, and
whether some of them may not have noticed yet that the server is back or new. As long as that may be, each keeps to its
own share as well (`shared/rate_share`).

Where machines have different rates, the lowest of the last minute counts for all: an account has one limit, and a
machine with a lower one would otherwise never get its turn.

Owns the script, and this machine's part in it. It must not know requests, nor what a hold is good for.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import trio

from cffs.callfire.departure_log import WINDOW_FACTOR
from cffs.core.settings_options import RequestRate
from cffs.core.source import Api
from cffs.shared.breaker import PAUSES_SECONDS
from cffs.shared.rate_share import OwnShare, WindowLimit
from cffs.shared.redis_client import Script
from cffs.shared.server import SharedServer

#: How often a machine that sends nothing says that it is there, and learns of holds.
BEAT_SECONDS = 2.0
#: A machine that was not seen for so long is not counted.
SEEN_SECONDS = 60.0
#: After so long every machine has noticed that the server is back: the longest pause of its breaker, and a beat.
SETTLING_SECONDS = PAUSES_SECONDS[-1] + BEAT_SECONDS + 3.0
#: No hold is longer, as `callfire/health` has it.
_LONGEST_HOLD_SECONDS = 60.0
#: A hold that ends within so little of one that is known is that one.
_SAME_HOLD_SECONDS = 0.5
_MICROSECONDS = 1_000_000
_MACHINE_NBYTES = 8

#: The first statement writes without needing memory. A full server lets a script go on that has begun to write, so the
#: rate is counted there too.
_SCRIPT = Script("""
local log, state, machines = KEYS[1], KEYS[2], KEYS[3]
local me, count, window, takes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local epoch_known, was_alone, epoch_new = ARGV[5], ARGV[6] == '1', ARGV[7]
local holds = {tonumber(ARGV[8]), tonumber(ARGV[9])}
local seen, settling, longest_hold = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

redis.call('ZREMRANGEBYSCORE', machines, '-inf', now - seen)
redis.call('ZREMRANGEBYSCORE', machines, now + 1000000, '+inf')
redis.call('ZADD', machines, now, me)
redis.call('PEXPIRE', machines, 600000)

local last = tonumber(redis.call('LINDEX', log, -1) or 0)
local jumped = last > now + 1000000
if jumped then
    redis.call('DEL', log)
    redis.call('HDEL', state, 'hold1', 'hold2', 'count', 'settled')
end

local epoch = redis.call('HGET', state, 'epoch')
if not epoch then
    epoch = epoch_new
    redis.call('HSET', state, 'epoch', epoch)
end
if jumped or was_alone or (epoch_known ~= '' and epoch_known ~= epoch) then
    redis.call('HSET', state, 'settled', now + settling)
end
redis.call('PEXPIRE', state, 3600000)
local settled = tonumber(redis.call('HGET', state, 'settled') or 0)

local held = {0, 0}
for index = 1, 2 do
    local name = 'hold' .. index
    local ends = tonumber(redis.call('HGET', state, name) or 0)
    if holds[index] > 0 and now + holds[index] > ends then
        ends = now + math.min(holds[index], longest_hold)
        redis.call('HSET', state, name, ends)
    end
    held[index] = math.min(math.max(ends - now, 0), longest_hold)
end

local wait = 0
if count > 0 then
    local low = redis.call('HMGET', state, 'count', 'window', 'until')
    if low[1] and tonumber(low[3]) > now and low[1] / low[2] < count / window then
        count, window = tonumber(low[1]), tonumber(low[2])
    else
        redis.call('HSET', state, 'count', count, 'window', window, 'until', now + seen)
    end
    local nth = tonumber(redis.call('LINDEX', log, -count) or 0)
    if nth + window > now then
        wait = nth + window - now
    elseif takes then
        redis.call('RPUSH', log, math.max(now, last))
        redis.call('LTRIM', log, -count, -1)
        redis.call('PEXPIRE', log, math.ceil(window / 1000) + 1000)
    end
end
return {wait, held[1], held[2], redis.call('ZCARD', machines), math.max(settled - now, 0), epoch, count, window}
""")
_APIS = (Api.V1, Api.V2)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the script says; durations are seconds."""

    wait_seconds: float
    held_seconds: tuple[float, float]
    machines: int
    settling_seconds: float
    epoch: bytes
    limit: WindowLimit


def _answer(reply: object) -> _Answer | None:
    """The reply as values; None where it is not one of the script's."""
    match reply:
        case [int(wait), int(v1), int(v2), int(machines), int(settling), bytes(epoch), int(count), int(window)]:
            if min(wait, v1, v2, settling, count, window) < 0 or machines < 1:
                return None
            return _Answer(
                wait_seconds=wait / _MICROSECONDS,
                held_seconds=(v1 / _MICROSECONDS, v2 / _MICROSECONDS),
                machines=machines,
                settling_seconds=settling / _MICROSECONDS,
                epoch=epoch,
                limit=WindowLimit(max(count, 1), window / _MICROSECONDS),
            )
    return None


class SharedCounter:
    """Counts requests together with all machines of the account: a RequestCounter of `callfire/rate`.

    It serves one process, which is a machine here, and starts `keep_beating` in its background. Without a rate it
    shares the holds alone.
    """

    def __init__(self, server: SharedServer, rate: RequestRate | None, *, hold: Callable[[Api, float], None]) -> None:
        """`hold` is called with what the service asked another machine for; it must not await."""
        self._server = server
        self._hold = hold
        self._has_rate = rate is not None
        self._own = (
            WindowLimit(1, 1.0) if rate is None else WindowLimit(rate.requests, rate.span_seconds * WINDOW_FACTOR)
        )
        self._share = OwnShare(self._own)
        self._keys = tuple(server.key("rate", "rate", part) for part in ("log", "state", "machines"))
        self._me = secrets.token_bytes(_MACHINE_NBYTES)
        self._epoch = b""
        self._was_alone = False
        self._settled_at = 0.0
        self._asked_at = 0.0
        self._held_until = dict.fromkeys(_APIS, 0.0)
        self._to_tell: dict[Api, float] = {}
        self._wake = trio.Event()

    @property
    def machines(self) -> int:
        """How many machines were seen when the server last answered, this one included."""
        return self._share.machines

    @property
    def is_alone(self) -> bool:
        """Whether this machine keeps to its own share now, because the server does not answer."""
        return self._share.is_alone

    def note_hold(self, api: Api, seconds: float) -> None:
        """Let the other machines know that the service asked for a pause of so long from now. Never a checkpoint."""
        until = trio.current_time() + seconds
        self._held_until[api] = max(self._held_until[api], until)
        self._to_tell[api] = until
        self._wake.set()

    async def take(self, _api: Api) -> float:
        """See RequestCounter. A checkpoint where the server is asked."""
        seconds = 0.0
        for _ in range(2):  # a second time where the first answer is that the server is back
            now = trio.current_time()
            is_careful = self._share.is_alone or now < self._settled_at
            seconds = self._share.seconds_to_wait(now) if is_careful else 0.0
            if seconds and not self._share.is_alone and now - self._asked_at < BEAT_SECONDS:
                return seconds
            answer = await self._ask(takes=not seconds)
            now = trio.current_time()
            if answer is None:
                seconds = self._share.seconds_to_wait(now)
                self._was_alone |= not seconds
                return self._noted(seconds, now)
            if not seconds:
                return self._noted(answer.wait_seconds, now)
        return seconds

    def _noted(self, seconds: float, now: float) -> float:
        if not seconds:
            self._share.note_departure(now)
        return seconds

    async def keep_beating(self) -> None:
        """Say that this machine is there, and pass on holds in both directions. Ends by cancellation alone."""
        while True:
            if self._to_tell or trio.current_time() - self._asked_at >= BEAT_SECONDS:
                await self._ask(takes=False)
            self._wake = trio.Event()
            with trio.move_on_after(BEAT_SECONDS):
                await self._wake.wait()

    async def _ask(self, *, takes: bool) -> _Answer | None:
        now = self._asked_at = trio.current_time()
        told, self._to_tell = self._to_tell, {}
        holds = [max(0, round((told.get(api, now) - now) * _MICROSECONDS)) for api in _APIS]
        was_alone = self._was_alone
        reply = await self._server.run(
            _SCRIPT,
            self._keys,
            [
                self._me,
                self._own.requests if self._has_rate else 0,
                round(self._own.window_seconds * _MICROSECONDS),
                int(takes),
                self._epoch,
                int(was_alone),
                secrets.token_bytes(_MACHINE_NBYTES),
                *holds,
                *(
                    round(seconds * _MICROSECONDS)
                    for seconds in (SEEN_SECONDS, SETTLING_SECONDS, _LONGEST_HOLD_SECONDS)
                ),
            ],
        )
        answer, now = _answer(reply), trio.current_time()
        if answer is None:
            self._to_tell = {**told, **self._to_tell}
            self._share.note_gone(now)
            return None
        self._learn(answer, now, was_alone=was_alone)
        return answer

    def _learn(self, answer: _Answer, now: float, *, was_alone: bool) -> None:
        share = self._share
        share.note_answer()
        self._epoch = answer.epoch
        if was_alone:
            self._was_alone = False
        self._settled_at = now + answer.settling_seconds
        # others that are not back yet count on, as long as they may not have noticed
        share.machines = max(answer.machines, share.machines if answer.settling_seconds else 1)
        if self._has_rate:
            share.limit = answer.limit
        for api, seconds in zip(_APIS, answer.held_seconds, strict=True):
            if seconds and now + seconds > self._held_until[api] + _SAME_HOLD_SECONDS:
                self._held_until[api] = now + seconds
                self._hold(api, seconds)
