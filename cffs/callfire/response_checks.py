"""Checks of an answer's head: status, range, lengths, encoding and version; pure.

They run before the first byte of a body is handed out. It owns what a head must say, and what a status means by itself.
It must not know httpx, clocks or retries: headers are a mapping with lower-case names, and the time is passed in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    AccessRefused,
    ActRefused,
    DuplicateMedia,
    MalformedAnswer,
    MuchShorter,
    ObjectRefused,
    OperationNotOffered,
    OriginBusy,
    RangeNotSatisfiable,
    RemoteObjectChanged,
    RemoteObjectMissing,
    ServerFailure,
    UploadTooLarge,
    VersionUnclear,
)
from cffs.core.times import parse_http_date, parse_retry_after
from cffs.core.units import MAX_OBJECT_NBYTES, NS_PER_MS

#: A validator is echoed and stored; no server sends a longer ETag on purpose.
_MAX_VALIDATOR_LENGTH = 512
#: ASCII, since `\d` accepts digits of other scripts; 13 digits hold 2^40.
_NUMBER = re.compile(r"[0-9]{1,13}", re.ASCII)
#: The statuses of an act that was understood and refused. Only 400 is documented; a gateway may send the others for it.
_READ_AND_REFUSED = (400, 409, 415, 422)
_CONTENT_RANGE = re.compile(r"bytes +([0-9]{1,13})-([0-9]{1,13})/([0-9]{1,13}|\*)", re.ASCII | re.IGNORECASE)
_UNSATISFIED_RANGE = re.compile(r"bytes +\*/([0-9]{1,13})", re.ASCII | re.IGNORECASE)
#: The registered content codings except identity, and some that servers use unregistered.
_CODING = re.compile(
    r"(?:x-)?(?:gzip|compress|deflate|br|zstd|bzip2|xz|lzma|lz4|snappy)|aes128gcm|dcb|dcz|exi|pack200-gzip|sdch"
)
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]*"', re.ASCII)


class NotFoundMeans(Enum):
    """What a 404 means: the object does not exist, or (for listings) the origin has no such operation."""

    OBJECT = "object"
    OPERATION = "operation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """The version of which a reader has bytes; a field is None where no answer gave it."""

    validator: str | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPlan:
    """The body of an accepted answer: the object's bytes from `start` up to `stop`, or to its end where that is None.

    `validator` is the strong ETag, else Last-Modified, else the weak ETag with its `W/`, which is good for comparison
    only (see cffs/docs/service.md#validators). `answered_ms` is the time of the answer, by the service's clock where it
    gives one. `content_nbytes` is the promised length of the body, None where it ends without one. `framed` is False
    where even that end is nothing but a closed connection.
    """

    start: int
    stop: int | None
    total: int | None
    validator: str | None
    last_modified_ns: int | None
    answered_ms: int
    content_type: str
    content_nbytes: int | None
    framed: bool


def check_status(
    status: int,
    headers: Mapping[str, str],
    *,
    what: str,
    not_found: NotFoundMeans,
    now_ns: int,
    is_rate_limit: bool = False,
) -> None:
    """Return for 2xx; raise what any other status means. `what` names the request without its query.

    A hold (429, 503 with Retry-After, or any 4xx in the words of a rate limit) raises OriginBusy with the seconds that
    the service named, negative where it named none.
    """
    if 200 <= status <= 299:
        return
    if status == 429 or (status == 503 and "retry-after" in headers) or (is_rate_limit and 400 <= status <= 499):
        seconds = parse_retry_after(headers["retry-after"], now_ns=now_ns) if "retry-after" in headers else None
        raise OriginBusy(-1.0 if seconds is None else seconds)
    if status in (404, 410):
        if not_found is NotFoundMeans.OPERATION and status == 404:
            raise OperationNotOffered(f"this origin has no {what}")
        raise RemoteObjectMissing(f"the service does not have {what}")
    if status in (401, 403):
        raise AccessRefused(f"the service answered {status} for {what}")
    if status in (405, 501):
        if not_found is NotFoundMeans.OBJECT:
            raise ObjectRefused(status, what)
        raise OperationNotOffered(f"the service answered {status} for {what}")
    raise ServerFailure(status, what)


def check_act(status: int, *, what: str, duplicate_media_id: int | None) -> None:
    """Raise what a status means for an act only; return for every other status, which `check_status` handles."""
    if status == 413:
        raise UploadTooLarge(f"the service answered 413, too large, for {what}")
    if status in _READ_AND_REFUSED:
        if duplicate_media_id is not None:
            raise DuplicateMedia(duplicate_media_id)
        raise ActRefused(f"the service answered {status} for {what}")


def check_body(
    asked: ByteRange | None,
    status: int,
    headers: Mapping[str, str],
    *,
    what: str,
    pinned: Pinned | None = None,
    now_ns: int,
) -> BodyPlan:
    """The plan of a body that can be trusted.

    A 200 to a range is legal: its plan starts at 0 and covers the whole object. A 206 may stop early, at a byte that it
    names: the caller asks again from `stop`. Raises RangeNotSatisfiable for 416, RemoteObjectChanged where the total
    differs from `pinned`, VersionUnclear where only the validator does, MuchShorter where a 200 has less than half of
    the known bytes or a 416 names none, and MalformedAnswer for an answer that contradicts itself or the request.
    """
    if status == 416 and asked is not None:
        found = _UNSATISFIED_RANGE.fullmatch(headers.get("content-range", "").strip())
        total = None if found is None else _bounded(found[1])
        if total == 0:
            _check_not_much_shorter(total, pinned)
        _check_total(total, pinned)
        raise RangeNotSatisfiable(total)
    check_status(status, headers, what=what, not_found=NotFoundMeans.OBJECT, now_ns=now_ns)
    require_identity(headers, what=what)
    length = _content_length(headers, what)
    stop: int | None
    if status == 206:
        start, last_stop, total = _content_range(asked, headers, what)
        if length is not None and length != last_stop - start:
            raise MalformedAnswer(f"Content-Length and Content-Range of {what} differ")
        stop = last_stop
    elif status == 200:
        start, stop, total = 0, length, length
        _check_not_much_shorter(total, pinned)
    else:
        raise MalformedAnswer(f"the service answered {status} for {what}, where bytes were asked")
    validator = _validator(headers)
    _check_total(total, pinned)
    _check_validator(validator, pinned)
    if stop is None and pinned is not None and pinned.total is not None:
        stop = total = pinned.total
    modified_ms = parse_http_date(headers.get("last-modified", ""))
    return BodyPlan(
        start=start,
        stop=stop,
        total=total,
        validator=validator,
        last_modified_ns=None if modified_ms is None else modified_ms * NS_PER_MS,
        answered_ms=_answered_ms(headers, now_ns),
        content_type=media_type(headers),
        content_nbytes=length,
        framed=length is not None or "transfer-encoding" in headers,
    )


def require_identity(headers: Mapping[str, str], *, what: str) -> None:
    """Raise MalformedAnswer for a body in a content coding: identity was asked for, and offsets count its bytes.

    A word that names no coding (`none`, `UTF-8`, `binary`, or `aws-chunked` left from an upload) changes no byte.
    """
    words = headers.get("content-encoding", "").lower().split(",")
    if any(_CODING.fullmatch(word.partition(";")[0].strip()) for word in words):
        raise MalformedAnswer(f"the answer for {what} is encoded, though identity was asked")


def media_type(headers: Mapping[str, str]) -> str:
    """The media type of a body in lower case, without its parameters; "" where none is given."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _answered_ms(headers: Mapping[str, str], now_ns: int) -> int:
    dated_ms = parse_http_date(headers.get("date", ""))
    return now_ns // NS_PER_MS if dated_ms is None else dated_ms


def _bounded(text: str) -> int:
    number = int(text)
    if number > MAX_OBJECT_NBYTES:
        raise MalformedAnswer("the answer names an absurd number of bytes")
    return number


def _content_length(headers: Mapping[str, str], what: str) -> int | None:
    text = headers.get("content-length")
    # Where both are sent, chunked wins (RFC 9112, section 6.3) and the length means nothing.
    if text is None or "transfer-encoding" in headers:
        return None
    if _NUMBER.fullmatch(text.strip()) is None:
        raise MalformedAnswer(f"the answer for {what} has no readable Content-Length")
    return _bounded(text.strip())


def _content_range(asked: ByteRange | None, headers: Mapping[str, str], what: str) -> tuple[int, int, int | None]:
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if asked is None or found is None:
        raise MalformedAnswer(f"a partial answer for {what} that was not asked for, or does not say what it holds")
    start, stop = _bounded(found[1]), _bounded(found[2]) + 1
    total = None if found[3] == "*" else _bounded(found[3])
    if start != asked.start or not start < stop <= asked.stop:
        raise MalformedAnswer(f"asked for {asked} of {what}, answered [{start}, {stop})")
    if total is not None and stop > total:
        raise MalformedAnswer(f"the answer for {what} ends beyond its own total")
    return start, stop, total


def _validator(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("etag", "").strip()
    if len(etag) > _MAX_VALIDATOR_LENGTH or _ETAG.fullmatch(etag) is None:
        etag = ""
    if etag and not etag.startswith("W/"):
        return etag
    modified = headers.get("last-modified", "").strip()
    if parse_http_date(modified) is not None:
        return modified
    return etag or None


def _check_not_much_shorter(total: int | None, pinned: Pinned | None) -> None:
    """An empty body, or a few words, in the place of an object is a mishap and no version of it."""
    if pinned is not None and total is not None and pinned.total is not None and 2 * total < pinned.total:
        raise MuchShorter(total, pinned.total)


def _check_total(total: int | None, pinned: Pinned | None) -> None:
    if pinned is not None and None not in (total, pinned.total) and total != pinned.total:
        raise RemoteObjectChanged("the object's size is not that of the version opened")


def _check_validator(validator: str | None, pinned: Pinned | None) -> None:
    if pinned is None or validator is None or pinned.validator is None or validator == pinned.validator:
        return
    # An ETag and a date cannot be compared: an origin of several machines may send either. The total still counts.
    if _kind(validator) == _kind(pinned.validator):
        raise VersionUnclear("the object's validator is not that of the version opened")


def _kind(validator: str) -> str:
    return "weak" if validator.startswith("W/") else "etag" if validator.startswith('"') else "date"
