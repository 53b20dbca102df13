"""The server that one account's machines share, behind deadline and breaker.

    a call        at most 50 ms of loop time, and nothing at all while the server counts as gone; it never raises
    the keeper    one task that owns the connection: opens it, tries again after a failure, pings while it is idle

A call uses the connection that the keeper opened, together with all others: the replies come in the order of the
calls, and the reply to a call that was cancelled is read and dropped by the connection's own task. Whatever a call
finds wrong (no answer, a broken answer, a lost connection), the keeper closes the connection and opens another. An
orderly refusal, such as "out of memory", fails its call and nothing else.

Every key is the keyed hash of its parts, with the account and the version of the format as the key of the hash. It
holds the hash of its first part in braces, and a cluster places keys by what is in the braces: all keys of one object
lie on one node, so that a script can use them together.

Owns the connection and the counters. It must not know what is kept under a key.
"""

import hashlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import trio

from cffs.core.server_url import ServerUrl
from cffs.core.units import KIB, NS_PER_SECOND
from cffs.shared.breaker import Breaker, after_answer, after_failure
from cffs.shared.loop_time import Look, LoopClock
from cffs.shared.redis_client import Argument, Client, Script, batches, evaluate, is_refusal, make_client, reason_of
from cffs.shared.value_window import ValueWindow

T = TypeVar("T")
_SCHEDULED = Path("/proc/thread-self/schedstat")
log = logging.getLogger(__name__)

#: The longest that a call takes, and all that are made in one look, by the clock of the loop: see
#: cffs/docs/sharing.md#the-server.
CALL_SECONDS = 0.05
#: A call that was on the wire for less of its time than this proves nothing about the server.
_FAIR_SECONDS = CALL_SECONDS / 2
#: Where this thread was ready to run for so long of a call, and did not, its machine is busy, and the server is asked
#: again before it counts as gone. (Eight processes on two processors: each turn takes some 10 ms.)
_BUSY_SECONDS = CALL_SECONDS / 5
#: To connect, TLS included; in the background, so that a distant server has its time.
_CONNECT_SECONDS = 2.0
#: So often a server may prove that it answers in time; a machine that is busy with something else is late itself.
_PROBES = 3
#: How often an idle connection is asked whether it still is one.
_PING_SECONDS = 10.0
#: A larger value is none of ours. It is not transferred, whatever lies under the key.
MAX_VALUE_NBYTES = 256 * KIB
#: So many values travel in one call, and so many at once: 2 MiB of blocks take 18 ms on a gigabit link, and a small
#: call behind them is still answered in time.
VALUES_AT_ONCE = 8
_VALUES_UNDER_WAY = 2 * VALUES_AT_ONCE
#: The longest life of anything that is kept: a day.
MAX_TTL_SECONDS = 86_400.0
#: It is part of every key: versions of cffs that keep values in different forms never meet.
FORMAT_VERSION = 1
#: 128 bits of a keyed hash: no two keys meet by accident. What places keys in a cluster needs less.
_DIGEST_NBYTES = 16
_TAG_NBYTES = 8

#: The values under keys; nothing for one that is absent, of another type, or larger than the last argument.
_READ = Script("""
local found = {}
for index, key in ipairs(KEYS) do
    local nbytes = redis.pcall('STRLEN', key)
    found[index] = false
    if type(nbytes) == 'number' and nbytes > 0 and nbytes <= tonumber(ARGV[1]) then
        found[index] = redis.call('GET', key)
    end
end
return found
""")


@dataclass(slots=True)
class CallCounts:
    """How calls ended, for status.json: answered, refused by an orderly error, failed, or not sent at all."""

    answered: int = 0
    refused: int = 0
    failed: int = 0
    not_sent: int = 0


@dataclass(slots=True)
class _Wire:
    """Since when, by the clock of the loop, a call waits for the server itself; None while it waits for room."""

    since: float | None = None


class SharedServer:
    """The server of one account's machines. A mount makes one, and starts `keep_connected` in its background."""

    def __init__(self, url: ServerUrl, *, account: str, ca_bundle: Path | None = None) -> None:
        """No I/O but reading `ca_bundle`. `account` distinguishes accounts; it holds no password, and is never sent."""
        logging.getLogger("coredis").setLevel(logging.CRITICAL)  # what it would log is logged here, once
        self.shown = url.shown
        self.counts = CallCounts()
        self._url = url
        self._tls = ssl.create_default_context(cafile=ca_bundle) if url.is_tls else None
        seed = f"cffs shared {FORMAT_VERSION}\0{account}"
        self._hash_key = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()
        self._breaker = Breaker(since=trio.current_time())
        self._client: Client | None = None
        self._lost = trio.Event()
        self._tried = trio.Event()
        self._window = ValueWindow(_VALUES_UNDER_WAY)
        self._clock = LoopClock()
        self._trouble = "not tried yet"
        self._logged_trouble = ""

    # -- what is known of it --

    @property
    def is_up(self) -> bool:
        """Whether a call made now would be sent."""
        return self._client is not None

    @property
    def trouble(self) -> str:
        """Why the server cannot be had, in a few words without a secret; empty while it can."""
        return "" if self.is_up else self._trouble

    def state_seconds(self) -> float:
        """For how long it has been there, or gone."""
        return trio.current_time() - self._breaker.since

    async def first_try(self, seconds: float) -> bool:
        """Whether the server is there, once that was tried or `seconds` have passed. Always a checkpoint."""
        with trio.move_on_after(seconds):
            await self._tried.wait()
        return self.is_up

    # -- keys --

    def key(self, kind: str, *parts: str) -> bytes:
        """The key of what `parts` name, of one kind. All keys with one first part lie together, in a cluster too."""
        return b"cffs:{%s}:%s" % (self._hash(parts[:1], _TAG_NBYTES), self._hash((kind, *parts), _DIGEST_NBYTES))

    def _hash(self, parts: tuple[str, ...], nbytes: int) -> bytes:
        digest = hashlib.blake2b(key=self._hash_key, digest_size=nbytes)
        for part in parts:
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:%s" % (len(encoded), encoded))  # the length keeps ("ab", "c") and ("a", "bc") apart
        return digest.hexdigest().encode("ascii")

    # -- calls --

    def look(self) -> Look:
        """The time for several calls that together take no longer than one may."""
        return Look(self._clock, CALL_SECONDS)

    async def read_many(self, keys: Sequence[bytes]) -> list[bytes | None] | None:
        """The value under each key, None where there is none of ours; None instead where the server cannot be had.

        A checkpoint where the server is asked, for at most 50 ms. It raises nothing; a cancellation leaves nothing.
        """

        async def ask(client: Client, wire: _Wire) -> list[bytes | None] | None:
            found = dict[bytes, bytes | None]()
            for batch in batches(keys, most=VALUES_AT_ONCE, is_cluster=self._url.is_cluster):
                async with self._window.room(len(batch)):
                    wire.since = self._clock.now()
                    reply = await evaluate(client, _READ, batch, (MAX_VALUE_NBYTES,))
                    wire.since = None
                if not isinstance(reply, list) or len(reply) != len(batch):
                    raise ValueError("not the reply to this script")
                found |= zip(batch, reply, strict=True)
            return [value if isinstance(value := found[key], bytes) else None for key in keys]

        return await self._call(ask)

    async def write(self, key: bytes, value: bytes | memoryview, *, ttl_seconds: float) -> bool:
        """Keep the value for so long, a day at most; whether the server took it.

        A checkpoint where the server is asked, for at most 50 ms. It raises nothing; after a cancellation the value may
        be kept.
        """
        if len(value) > MAX_VALUE_NBYTES:
            return False
        milliseconds = max(1, int(min(ttl_seconds, MAX_TTL_SECONDS) * 1000))

        async def ask(client: Client, wire: _Wire) -> bool:
            async with self._window.room(1):
                wire.since = self._clock.now()
                return await client.set(key, bytes(value), px=milliseconds) is True

        return await self._call(ask) or False

    async def run(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument], *, values: int = 0
    ) -> Any | None:
        """The script's answer; None where the server cannot be had, or answers with an error.

        The keys share their first part. `values` says how many values are among the arguments, `VALUES_AT_ONCE` at
        most. A checkpoint where the server is asked, for at most 50 ms. It raises nothing;
        the script may have run where the answer is None, and after a cancellation.
        """

        async def ask(client: Client, wire: _Wire) -> object:
            async with self._window.room(values):
                wire.since = self._clock.now()
                return await evaluate(client, script, keys, arguments)

        return await self._call(ask)

    async def _call(self, ask: Callable[[Client, _Wire], Awaitable[T]]) -> T | None:
        client, wire = self._client, _Wire()
        if client is None:
            self.counts.not_sent += 1
            return None
        ready_seconds = _ready_seconds()
        with self._clock.limit_at(self._clock.after(CALL_SECONDS)):
            try:
                answer = await ask(client, wire)
            except Exception as error:  # a server may answer anything, and the library raises anything at that
                if is_refusal(error):
                    self.counts.refused += 1
                    log.debug("shared server refused a call reason=%s", type(error).__name__)
                else:
                    self._drop(client, reason_of(error))
                return None
            self.counts.answered += 1
            return answer
        if wire.since is not None and self._clock.now() - wire.since >= _FAIR_SECONDS:
            if _ready_seconds() - ready_seconds >= _BUSY_SECONDS:
                self.counts.not_sent += 1
                self._lost.set()  # the keeper asks at once whether it is
            else:
                self._drop(client, "no answer in time")
        else:
            self.counts.not_sent += 1  # its time went by before its turn came
        return None

    def _drop(self, client: Client, reason: str) -> None:
        """Count the server as gone; nothing where it is another connection's failure by now."""
        self.counts.failed += 1
        if client is self._client:
            self._client = None
            self._trouble = reason
            self._breaker = after_failure(self._breaker, trio.current_time())
            self._lost.set()

    # -- the keeper --

    async def keep_connected(self) -> None:
        """Keep a connection while the server answers, and try again while it does not.

        Ends by cancellation alone, and closes the connection then. It raises nothing.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._clock.run)
            await self._keep_connected()

    async def _keep_connected(self) -> None:
        while True:
            connecting = trio.CancelScope(deadline=trio.current_time() + _CONNECT_SECONDS)
            try:
                with connecting:
                    await self._be_connected(connecting)
                if connecting.cancelled_caught:
                    raise TimeoutError
            except Exception as error:  # as in a call; and the library groups what its tasks raise
                # The library makes a failure of its own of a cancellation.
                self._note_failed_try("no answer in time" if connecting.cancel_called else reason_of(error))
            if self._breaker.failures > 1:
                self._tried.set()
            await trio.sleep_until(self._breaker.next_try_at)

    async def _be_connected(self, connecting: trio.CancelScope) -> None:
        """Connect, and return once a call found the connection lost. Raises what went wrong before it was of use."""
        async with make_client(self._url, tls=self._tls) as client:
            await client.ping()
            probe = [self.key("probe")]
            await evaluate(client, _READ, probe, (0,))
            for tries_left in reversed(range(_PROBES)):
                began_at = trio.current_time()
                await evaluate(client, _READ, probe, (0,))
                if trio.current_time() - began_at <= CALL_SECONDS:
                    break
                if not tries_left:
                    raise TimeoutError
            connecting.deadline = float("inf")
            self._note_connected(client)
            await self._until_lost(client)

    def _note_failed_try(self, reason: str) -> None:
        self._client = None
        self._trouble = reason
        self._breaker = after_failure(self._breaker, trio.current_time())
        if reason != self._logged_trouble:
            self._logged_trouble = reason
            log.warning("shared server gone server=%s reason=%s", self.shown, reason)

    def _note_connected(self, client: Client) -> None:
        self._lost = trio.Event()
        self._client = client
        self._breaker = after_answer(self._breaker, trio.current_time())
        self._tried.set()
        if self._logged_trouble:
            self._logged_trouble = ""
            log.info("shared server is back server=%s", self.shown)

    async def _until_lost(self, client: Client) -> None:
        async def ping(client: Client, wire: _Wire) -> bool:
            wire.since = self._clock.now()
            return bool(await client.ping())

        while self._client is client:
            with trio.move_on_after(_PING_SECONDS):
                await self._lost.wait()
            if self._client is client:
                self._lost = trio.Event()
                await self._call(ping)


def _ready_seconds() -> float:
    """For how long this thread was ready to run so far, and did not run; 0 where the kernel does not say."""
    try:
        return int(_SCHEDULED.read_bytes().split()[1]) / NS_PER_SECOND
    except (OSError, ValueError, IndexError):
        return 0.0
