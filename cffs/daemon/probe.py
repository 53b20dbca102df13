"""A probe of one object at the origin: ranges, validator, length, times.

It costs about ten small requests an object, and at most 2 MiB; nothing that it reads is kept.

Owns what is found out, and what that means for a mount. It must not know mounts or paths: it is given sources.
"""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

import trio

from cffs.callfire.transport import Transport
from cffs.callfire.wire.exchange import OpenResponse
from cffs.core.errors import CffsError
from cffs.core.source import Api, Source

_TIMES = 3
#: As many bytes in one request as in four side by side: few enough to be asked for, and enough that the speed of a
#: connection outweighs the latency, which both pay once.
_RUN_NBYTES, _PARALLEL = 512 * 1024, 4
#: A body that was not asked for, because the range was ignored, is not read to its end.
_MOST_NBYTES = 2**20
_REQUEST_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An object to look at: `kind` is wav, mp3, media or dynamic; `hint_nbytes` is the API's `lengthInBytes`."""

    kind: str
    source: Source
    hint_nbytes: int | None = None


@dataclass(slots=True, kw_only=True)
class Found:
    """What was found out about one object. Its texts are words of this module, never of the origin, except for
    hosts."""

    kind: str
    api: str
    status: int | None = None
    error: str | None = None
    redirect_host: str | None = None
    range: str | None = None
    validator: str | None = None
    length: str | None = None
    total: int | None = None
    head: str | None = None
    first_byte_ms: float | None = None
    parallel_gain: float | None = None
    hint: int | None = None

    def plain(self) -> dict[str, object]:
        """The fields that are known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


async def look_at(transport: Transport, target: Target) -> Found:
    """Find out everything about one object. Never raises for what the origin does. Always a checkpoint."""
    found = Found(kind=target.kind, api=str(target.source.api), hint=target.hint_nbytes)
    try:
        await _redirect(transport, target.source, found)
        await _ranges(transport, target.source, found)
        if found.status is not None and found.status < 300:
            await _head(transport, target.source, found)
            await _parallel(transport, target.source, found)
    except CffsError as error:
        found.error = " ".join(str(error).split()) or type(error).__name__
    except trio.TooSlowError:
        found.error = f"no answer within {_REQUEST_SECONDS:.0f} s"
    return found


async def _redirect(transport: Transport, source: Source, found: Found) -> None:
    with trio.fail_after(_REQUEST_SECONDS):
        async with transport.raw("GET", source, headers=_range(0, 1), follow=False) as opened:
            location = opened.headers.get("location", "")
            if 300 <= opened.status < 400 and location:
                try:
                    found.redirect_host = urlsplit(urljoin("https://same-host/", location)).hostname
                except ValueError:
                    found.redirect_host = "not a URL"


async def _ranges(transport: Transport, source: Source, found: Found) -> None:
    seconds, validators = [], set()
    for _ in range(_TIMES):
        started = trio.current_time()
        with trio.fail_after(_REQUEST_SECONDS):
            async with transport.raw("GET", source, headers=_range(0, 1)) as opened:
                found.status = opened.status
                if opened.status >= 300:
                    return
                await opened.receive()
                seconds.append(trio.current_time() - started)
                validators.add(_validator(opened.headers))
                _read_head(opened, found)
    found.first_byte_ms = round(statistics.median(seconds) * 1000, 1)
    found.validator = validators.pop() if len(validators) == 1 else "changes from answer to answer"


def _read_head(opened: OpenResponse, found: Found) -> None:
    headers = opened.headers
    if opened.status == 206:
        text = headers.get("content-range", "")
        tail = text.rpartition("/")[2]
        found.range = "honoured" if text.startswith("bytes 0-0/") else "answered with another range"
        found.total = int(tail) if tail.isdecimal() and len(tail) < 16 else None
        found.length = "total in Content-Range" if found.total is not None else "partial answers give no total"
        return
    found.range = "ignored"
    text = headers.get("content-length", "")
    chunked = "transfer-encoding" in headers
    found.total = int(text) if text.isdecimal() and len(text) < 16 and not chunked else None
    found.length = "Content-Length" if found.total is not None else "none before the end (chunked)"


def _validator(headers: Mapping[str, str]) -> str:
    etag = headers.get("etag", "")
    if etag:
        return "weak ETag" if etag.startswith("W/") else "strong ETag"
    return "Last-Modified" if headers.get("last-modified") else "none"


async def _head(transport: Transport, source: Source, found: Found) -> None:
    with trio.fail_after(_REQUEST_SECONDS):
        async with transport.raw("HEAD", source) as opened:
            if opened.status >= 300:
                found.head = f"refused ({opened.status})"
                return
            text = opened.headers.get("content-length", "")
            length = int(text) if text.isdecimal() and len(text) < 16 else None
    if length is None:
        found.head = "gives no length"
    elif found.total is None:
        found.head = "gives a length that GET does not"
    else:
        found.head = "same length as GET" if length == found.total else "another length than GET"


async def _parallel(transport: Transport, source: Source, found: Found) -> None:
    if found.range != "honoured" or found.total is None or found.total < _RUN_NBYTES:
        return
    one = await _pieces(transport, source, found.total - _RUN_NBYTES, pieces=1)
    several = await _pieces(transport, source, 0, pieces=_PARALLEL)
    found.parallel_gain = round(one / several, 2) if several > 0 else None


async def _pieces(transport: Transport, source: Source, begin: int, *, pieces: int) -> float:
    nbytes = _RUN_NBYTES // pieces

    async def piece(number: int) -> None:
        with trio.fail_after(_REQUEST_SECONDS):
            offset = begin + number * nbytes
            async with transport.raw("GET", source, headers=_range(offset, offset + nbytes)) as opened:
                received = 0
                while (chunk := await opened.receive()) and received < _MOST_NBYTES:
                    received += len(chunk)

    started, failed = trio.current_time(), False
    try:
        async with trio.open_nursery() as nursery:
            for number in range(pieces):
                nursery.start_soon(piece, number)
    except* (CffsError, trio.TooSlowError):
        failed = True
    return 0.0 if failed else trio.current_time() - started


def _range(start: int, stop: int) -> dict[str, str]:
    return {"range": f"bytes={start}-{stop - 1}"}


def length_in_bytes(found: list[Found]) -> str | None:
    """What `lengthInBytes` measures, found by comparing a recording's two forms; None where that says nothing."""
    hints = {one.hint for one in found if one.kind in ("mp3", "wav") and one.hint is not None}
    if len(hints) != 1:
        return None
    hint = hints.pop()
    for one in found:
        if one.kind in ("mp3", "wav") and one.total == hint:
            return one.kind
    measured = [one.kind for one in found if one.kind in ("mp3", "wav") and one.total is not None]
    return f"neither ({' and '.join(measured)} measured)" if measured else None


def capabilities(found: list[Found], *, now: datetime | None = None) -> dict[Api, dict[str, object]]:
    """What is kept about each API, by kind of object."""
    kept: dict[Api, dict[str, object]] = {}
    measures = length_in_bytes(found)
    for one in found:
        table = kept.setdefault(Api(one.api), {"probed_at": (now or datetime.now(UTC)).isoformat(timespec="seconds")})
        plain = one.plain()
        for name in ("kind", "api", "total", "hint"):
            plain.pop(name, None)
        table[one.kind] = plain
        if measures is not None and one.kind == "mp3":
            table["length_in_bytes"] = measures
    return kept


def meaning(found: Found) -> Iterator[str]:
    """What the findings mean for a mount, a line each."""
    if found.error is not None:
        yield f"could not be looked at: {found.error}"
        return
    if found.status is None or found.status >= 300:
        yield f"answers {found.status}: this file cannot be opened"
        return
    if found.range == "ignored":
        yield "ranges are ignored: a seek waits for everything before it, and readers share one download"
    if found.range == "answered with another range":
        yield "ranges are answered wrongly: reads fail rather than give wrong bytes"
    if found.total is None:
        yield "no total before the end: files are read without the page cache, and rsync and tar may complain"
    if found.validator == "none":
        yield "no validator: a changed recording is noticed only by its size"
    elif found.validator == "weak ETag":
        yield "a weak validator: two versions may carry the same one"
    elif found.validator and found.validator.startswith("changes"):
        yield "the validator changes by itself: reads would fail as stale; please report it"
    if found.redirect_host and found.redirect_host != "same-host":
        yield f"bytes come from {found.redirect_host}, which never sees the credentials"
    if found.head is not None and found.head != "same length as GET":
        yield f"HEAD {found.head}: cffs never asks it"
    if found.parallel_gain is not None:
        yield (
            f"{_PARALLEL} connections read {found.parallel_gain:.1f} times as fast as one"
            if found.parallel_gain >= 1.2
            else "several connections are no faster than one here; --connections 4 is enough"
        )
