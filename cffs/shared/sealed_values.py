"""Sealed values: what proves that a value is what was once put under its key.

A value is a slot as the disk cache writes it (`cache/disk_format`), then the data. The slot holds the checksum of the
data, seeded with a secret of the account, the name of the value and the place in it. So a value that is damaged, cut
off, of another version, under another key, or of another account is taken for none.

The mark of the slot is written last, once the answer that brought the data has ended well; until then the value is
hidden. Where the age of a value counts, the server alone measures it, so that no machine's clock matters: a value that
was to last a day, and has an hour left, is 23 hours old.

It owns that form. It must not know what the data mean. All but the two that read is pure.
"""

from collections.abc import Callable
from typing import Final

from cffs.cache.disk_format import MARK, MARK_OFFSET, SLOT_NBYTES, make_slot, slot_matches
from cffs.shared.redis_client import Script
from cffs.shared.server import SharedServer

_SEED_DIGITS = 16
_Buffer = bytes | bytearray | memoryview

#: A value and how many milliseconds it has still to last; a larger one than the argument is none of ours.
_READ: Final = Script("""
local nbytes = redis.pcall('STRLEN', KEYS[1])
if type(nbytes) ~= 'number' or nbytes == 0 or nbytes > tonumber(ARGV[1]) then
    return {}
end
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}
""")


def seed_of(key: Callable[..., bytes], *parts: str) -> int:
    """The seed of the checksums of what `parts` name; `key` is the account's keyed hash (`SharedServer.key`)."""
    return int(key("seed", *parts)[-_SEED_DIGITS:], 16)


def sealed(data: _Buffer, *, seed: int, index: int = 0) -> bytes:
    """The value that holds `data`."""
    return make_slot(data, seed=seed, index=index) + bytes(data)


def seal(value: bytearray, *, seed: int, index: int) -> None:
    """Make a value of a buffer whose data are in their place, behind the room for the slot."""
    value[:SLOT_NBYTES] = make_slot(memoryview(value)[SLOT_NBYTES:], seed=seed, index=index)


def hide(value: bytearray, *, seed: int, index: int) -> bytes:
    """Make a hidden value of such a buffer. Returns what the slot says before its mark."""
    seal(value, seed=seed, index=index)
    value[MARK_OFFSET:SLOT_NBYTES] = bytes(len(MARK))
    return bytes(value[:MARK_OFFSET])


def unsealed(value: bytes | None, *, seed: int, index: int = 0) -> memoryview | None:
    """The data of a value; None for one that is hidden, damaged or of something else."""
    if value is None or len(value) < SLOT_NBYTES:
        return None
    data = memoryview(value)[SLOT_NBYTES:]
    return data if slot_matches(value[:SLOT_NBYTES], data, seed=seed, index=index) else None


async def read_value(server: SharedServer, key: bytes, *, most_nbytes: int) -> tuple[bytes, int] | None:
    """The value under `key`, whatever it is, and for how many milliseconds it lasts. None where there is none, it is
    larger, it lasts for ever, or the server cannot be had.

    A checkpoint where the server is asked, for at most 50 ms. It raises nothing.
    """
    match await server.run(_READ, (key,), (most_nbytes,)):
        case [bytes(value), int(left_ms)] if left_ms > 0:
            return value, left_ms
    return None


async def read_aged(server: SharedServer, key: bytes, *, seed: int, most_nbytes: int) -> tuple[memoryview, int] | None:
    """The data of a value, and for how many milliseconds it lasts; None too where it is not the one that was put. See
    `read_value`."""
    found = await read_value(server, key, most_nbytes=most_nbytes)
    data = None if found is None else unsealed(found[0], seed=seed)
    return None if found is None or data is None else (data, found[1])
