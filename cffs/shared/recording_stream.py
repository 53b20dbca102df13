"""A stream of new recordings on the shared server.

Each recording is put once, and worked on by one worker. Many watchers may put the same recording: a mark beside the
stream lets one of them through. Workers of one stream are one consumer group. What a worker has taken stays its own as
long as it says so (`renew`), and is given to another once it was silent for a minute, or failed. What failed on its
third worker is given up.

An entry holds a recording's id and nothing else. Marks and the stream expire after a day without use.

Owns the scripts. It must not know what a worker does, nor how recordings are found.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from cffs.core.errors import CffsError
from cffs.shared.redis_client import Script
from cffs.shared.server import MAX_TTL_SECONDS, SharedServer

#: After so long without a word the worker of an entry counts as dead.
SILENT_SECONDS = 60.0
#: How often an entry is given to a worker.
MOST_TRIES = 3
#: A stream that no worker reads does not grow for ever; the oldest entries go first.
_MOST_ENTRIES = 100_000
_CONSUMER_NBYTES = 8
_DAY_MS = int(MAX_TTL_SECONDS * 1000)

_PUT = Script("""
if not redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[2]) then return 0 end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'id', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
""")
#: What a silent worker had is given first, else what is new; with how often it was given, and false for nothing.
_TAKE = Script("""
redis.pcall('XGROUP', 'CREATE', KEYS[1], 'workers', '0', 'MKSTREAM')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local found = redis.call('XAUTOCLAIM', KEYS[1], 'workers', ARGV[1], ARGV[2], '0', 'COUNT', 1)[2]
if not found[1] then
    local new = redis.call('XREADGROUP', 'GROUP', 'workers', ARGV[1], 'COUNT', 1, 'STREAMS', KEYS[1], '>')
    found = new and new[1][2] or {}
end
if not found[1] then return {} end
local pending = redis.call('XPENDING', KEYS[1], 'workers', found[1][1], found[1][1], 1)
return {found[1][1], found[1][2] and found[1][2][2] or '', pending[1] and pending[1][4] or 1}
""")
_RENEW = Script("""
for index = 2, #ARGV do redis.call('XCLAIM', KEYS[1], 'workers', ARGV[1], 0, ARGV[index], 'JUSTID') end
return 1
""")
_DONE = Script("""
redis.call('XACK', KEYS[1], 'workers', ARGV[1])
return redis.call('XDEL', KEYS[1], ARGV[1])
""")


class StreamUnavailable(CffsError):
    """The shared server cannot be had now, or it refuses; `str` says why in a few words."""


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """A recording that was taken from the stream: its place there, and for which time it was given out."""

    place: bytes
    recording_id: int
    tries: int


class RecordingStream:
    """One stream by its name, as one worker or watcher sees it.

    Every method is a checkpoint and takes at most 50 ms. Each raises StreamUnavailable where the server cannot be had;
    what was asked may have happened then, and after a cancellation.
    """

    def __init__(self, server: SharedServer, name: str) -> None:
        self._server = server
        self._name = name
        self._key = server.key("stream", name)
        self._worker = secrets.token_hex(_CONSUMER_NBYTES)

    async def put(self, recording_id: int) -> bool:
        """Put the recording where no watcher has put it within a day; whether this one did."""
        mark = self._server.key("put", self._name, str(recording_id))
        return await self._run(_PUT, (recording_id, _DAY_MS, _MOST_ENTRIES), mark) == 1

    async def take(self) -> StreamEntry | None:
        """The next recording to work on, None where there is none now. It is this worker's for a minute."""
        silent_ms = int(SILENT_SECONDS * 1000)
        while True:
            match await self._run(_TAKE, (self._worker, silent_ms, _DAY_MS)):
                case []:
                    return None
                case [bytes(place), bytes(text), int(tries)] if text.isdigit():
                    return StreamEntry(place, int(text), tries)
                case [bytes(place), *_]:
                    await self._run(_DONE, (place,))  # no entry of ours

    async def renew(self, entries: Iterable[StreamEntry]) -> None:
        """Keep these for another minute."""
        places = [entry.place for entry in entries]
        if places:
            await self._run(_RENEW, (self._worker, *places))

    async def done(self, entry: StreamEntry) -> None:
        """Take it off the stream: the work is done, or given up."""
        await self._run(_DONE, (entry.place,))

    async def _run(self, script: Script, arguments: tuple[bytes | int | str, ...], *keys: bytes) -> object:
        answer = await self._server.run(script, (self._key, *keys), arguments)
        if answer is None:
            raise StreamUnavailable(self._server.trouble or "it refuses, being full or too old for streams")
        return answer
