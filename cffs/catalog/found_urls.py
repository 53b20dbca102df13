"""Finds the URLs of recordings in any text: logs, CSV, XML of post-backs; in pieces of any size, in constant memory.

It must not know where the text comes from nor where findings go, and it gives away no key: only parts that were
checked one by one leave it. Pure.
`catalog/importing` feeds it. A URL is never used: what counts is which recording it names at the configured origin.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

from cffs.callfire.targets import Origin, origin_of
from cffs.catalog.rows import DynamicRow
from cffs.core.ids import parse_id
from cffs.core.junk import is_junk
from cffs.core.names import MAX_NAME_NBYTES, decode_name, encode_name, name_nbytes

#: What every such URL holds; searched for first, because a search for a constant runs at the speed of memory.
_MARK = b"/files/recording/"
#: What may stand in a URL here. Commas, semicolons and apostrophes may by RFC 3986, but in CSV and prose they end it.
_CHARACTERS = rb"A-Za-z0-9\-._~:/?#\[\]@!$&()*+=%"
_REST = re.compile(rb"[" + _CHARACTERS + rb"]*(?:(?<=&amp);[" + _CHARACTERS + rb"]*)*")
_END = re.compile(rb"[^" + _CHARACTERS + rb";]")
_RUN = re.compile(rb"[" + _CHARACTERS + rb";]*")
#: A URL is not longer; a text without an end of one for so long holds none.
MAX_URL_NBYTES = 8192
#: Punctuation of a sentence that ends with a URL.
_PUNCTUATION = b".:!?&*"
_HASH = re.compile(r"[0-9A-Za-z_-]{8,128}", re.ASCII)
_YEAR = re.compile(r"[0-9]{4}", re.ASCII)
_MONTH = re.compile(r"0?[1-9]|1[0-2]", re.ASCII)
_CAMPAIGN = re.compile(r"[0-9]{1,19}", re.ASCII)
_CONTROLS = re.compile("[\x00-\x1f\x7f\\\\/]")
_DYNAMIC_SEGMENTS = 6


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A single recording by its file id."""

    id: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Looked like the URL of a recording; `reason` says why it is not taken and holds nothing of it."""

    reason: str


Finding = DynamicRow | FoundFile | Refused


class UrlFinder:
    """Finds in a stream of pieces. `base_url` is v1's; `secrets` must not be in anything that is found."""

    def __init__(self, base_url: str, *, secrets: tuple[str, ...] = ()) -> None:
        self._origin = origin_of(base_url)
        self._prefix = urlsplit(base_url).path.rstrip("/") + _MARK.decode()
        self._secrets = ("apikey", *(secret.lower() for secret in secrets if secret))
        self._waiting = b""

    def feed(self, piece: bytes) -> Iterator[Finding]:
        """What the text so far holds, but for what may go on in the next piece."""
        text = (self._waiting + piece).replace(rb"\/", b"/")
        cut = _last_end(text)
        self._waiting = text[cut:]
        yield from self._in(text[:cut])

    def finish(self) -> Iterator[Finding]:
        """What the end of the text holds."""
        text, self._waiting = self._waiting, b""
        yield from self._in(text)

    def _in(self, text: bytes) -> Iterator[Finding]:
        at = text.find(_MARK)
        while at >= 0:
            begin = _start(text, at)
            rest = _REST.match(text, at)
            stop = rest.end() if rest else at + len(_MARK)
            if begin is None:
                yield Refused("not a whole URL")
            else:
                finding = self._finding(text[begin:stop])
                if finding is not None:
                    yield finding
            at = text.find(_MARK, stop)

    def _finding(self, found: bytes) -> Finding | None:
        if len(found) > MAX_URL_NBYTES:
            return Refused("too long")
        url = _trimmed(found).replace(b"&amp;", b"&").decode("ascii", "replace")
        url = url.partition("?")[0].partition("#")[0]
        try:
            origin, path = origin_of(url), urlsplit(url).path
        except ValueError:
            return Refused("not a plain URL")
        if origin != self._origin:
            return Refused(_difference(origin, self._origin))
        if not path.startswith(self._prefix):
            return Refused("another path of this host")
        segments = [_decoded(segment) for segment in path.removeprefix(self._prefix).rstrip("/").split("/")]
        if segments[0] == "list":
            return None  # a list of recordings is no recording
        if any(segment is None for segment in segments):
            return Refused("malformed")
        return self._parsed([segment for segment in segments if segment is not None])

    def _parsed(self, segments: list[str]) -> Finding:
        if any(secret in segment.lower() for segment in segments for secret in self._secrets):
            return Refused("a key in its path")
        if len(segments) == 1:
            file_id = parse_id(segments[0])
            return Refused("malformed") if file_id is None else FoundFile(file_id)
        if segments[0] != "dynamic" or (len(segments) == _DYNAMIC_SEGMENTS + 1 and segments.pop() != "mp3"):
            return Refused("malformed")
        if len(segments) != _DYNAMIC_SEGMENTS:
            return Refused("malformed")
        _dynamic, spelt_hash, year, month, campaign, filename = segments
        if not (_HASH.fullmatch(spelt_hash) and _YEAR.fullmatch(year) and _MONTH.fullmatch(month)):
            return Refused("malformed")
        if _CAMPAIGN.fullmatch(campaign) is None:
            return Refused("malformed")
        name = encode_name(filename)
        if is_junk(name) or name_nbytes(name) > MAX_NAME_NBYTES or decode_name(name) != filename:
            return Refused("a name that no file can have")
        return DynamicRow(0, spelt_hash, year, month, campaign, filename)


def _start(text: bytes, at: int) -> int | None:
    """Where the URL begins whose path goes on at `at`; of two that are glued together, the last one."""
    colon = text.rfind(b"://", max(0, at - MAX_URL_NBYTES), at)
    if colon < 0 or _RUN.fullmatch(text, colon, at) is None:
        return None
    before = text[max(0, colon - len(b"https")) : colon].lower()
    scheme = next((scheme for scheme in (b"https", b"http") if before.endswith(scheme)), None)
    return None if scheme is None else colon - len(scheme)


def _difference(origin: Origin, ours: Origin) -> str:
    if origin.host != ours.host:
        return "another host"
    return "another scheme" if origin.scheme != ours.scheme else "another port"


def _decoded(segment: str) -> str | None:
    """The text of a path segment; None for what is none, or leads elsewhere."""
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if text in ("", ".", "..") or _CONTROLS.search(text) else text


def _trimmed(url: bytes) -> bytes:
    """Without the punctuation of the sentence around it: brackets that were opened before it, too."""
    unopened = {end: url.count(end) - url.count(begin) for begin, end in ((b"(", b")"), (b"[", b"]"))}
    stop = len(url)
    while stop:
        last = url[stop - 1 : stop]
        if unopened.get(last, 0) > 0:
            unopened[last] -= 1
        elif last not in _PUNCTUATION:
            break
        stop -= 1
    return url[:stop]


def _last_end(text: bytes) -> int:
    """Where the last byte that ends a URL stands; what follows may go on. A run without an end is no URL."""
    start = max(0, len(text) - 2 * MAX_URL_NBYTES)
    cut = start
    for match in _END.finditer(text, start):
        cut = match.start()
    return cut
