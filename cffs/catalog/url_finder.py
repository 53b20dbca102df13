"""URLs of recordings, found in any text: logs, CSV, JSON, XML of post-backs.

It owns what counts as such a URL, and why others are refused. It must not know where the text comes from, nor where
findings go. A text comes in pieces and takes constant memory. Pure.

No key gets out: a finding is made only of parts that were checked one by one. A URL is never requested: what counts is
which recording it names at the configured service. So its scheme may be another than that of the base URL (the service
prints some in plain http), and it may be escaped in whatever way its text escapes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

from cffs.callfire.url_policy import Origin, origin_of
from cffs.catalog.rows import DynamicRow
from cffs.catalog.unescape import unescaped
from cffs.core.ids import parse_id
from cffs.core.names import MAX_NAME_NBYTES, decode_name, encode_name, name_nbytes
from cffs.core.probe_names import is_probe_name

_FILES, _RECORDINGS, _REST = "/files/recording/", "/calls/recordings/", "/rest/call/"
#: What such URLs hold: v1's, v2's by id and by name within a call, and those of API 1.1.
_MARK = re.compile(rb"/(?:files/recording|calls/(?:[0-9]{1,19}/)?recordings|rest/call)/")
#: What may stand in a URL here. Commas, semicolons and apostrophes may by RFC 3986, but in CSV and prose they end it.
_CHARACTERS = rb"A-Za-z0-9\-._~:/?#\[\]@!$&()*+=%"
_RUN = re.compile(rb"[" + _CHARACTERS + rb"]*")
#: What ends a URL in a text as it comes, escapes and all: `&quot;` and `\u002F` may stand in one.
_END = re.compile(rb"[^" + _CHARACTERS + rb";\\]")
#: A URL is not longer than this; a text without an end of a URL for so long holds none.
MAX_URL_NBYTES = 8192
#: Punctuation of a sentence that ends with a URL.
_PUNCTUATION = b".:!?&*"
_HASH = re.compile(r"[0-9A-Za-z_-]{8,128}", re.ASCII)
_YEAR = re.compile(r"[0-9]{4}", re.ASCII)
_MONTH = re.compile(r"0?[1-9]|1[0-2]", re.ASCII)
_CAMPAIGN = re.compile(r"[0-9]{1,19}", re.ASCII)
_CONTROLS = re.compile("[\x00-\x1f\x7f\\\\/]")
_AUDIO = re.compile(r"\.(?:mp3|wav)\Z", re.ASCII | re.IGNORECASE)
_DYNAMIC_SEGMENTS = 6
_USUAL_PORTS = (80, 443)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A single recording by its file id in v1."""

    id: int


@dataclass(frozen=True, slots=True)
class FoundRecording:
    """A single recording by its id in v2."""

    id: int


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call whose recording was given by name."""

    id: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A text that looked like the URL of a recording; `reason` is why it is refused, and holds nothing of it."""

    reason: str


Finding = DynamicRow | FoundFile | FoundRecording | FoundCall | Refused


class UrlFinder:
    """Finds recordings in a text that comes in pieces.

    `v1_url` and `v2_url` are the base URLs; `has_v2` is true where there is a login for v2; a finding holds none of
    `secrets`.
    """

    def __init__(self, v1_url: str, v2_url: str, *, has_v2: bool, secrets: tuple[str, ...] = ()) -> None:
        self._origins = (origin_of(v1_url), origin_of(v2_url))
        self._v1_path, self._v2_path = (urlsplit(url).path.rstrip("/") for url in (v1_url, v2_url))
        self._has_v2 = has_v2
        self._secrets = ("apikey", *(secret.lower() for secret in secrets if secret))
        self._waiting = b""

    def feed(self, piece: bytes) -> Iterator[Finding]:
        """The findings of the text so far, except for what may go on in the next piece."""
        text = self._waiting + piece
        cut = _last_end(text)
        self._waiting = text[cut:]
        yield from self._in(unescaped(text[:cut]))

    def finish(self) -> Iterator[Finding]:
        """The findings at the end of the text."""
        text, self._waiting = self._waiting, b""
        yield from self._in(unescaped(text))

    def _in(self, text: bytes) -> Iterator[Finding]:
        mark = _MARK.search(text)
        while mark is not None:
            begin = _start(text, mark.start())
            stop = _end(text, mark.start())
            if begin is None:
                yield Refused("not a whole URL")
            else:
                finding = self._finding(text[begin:stop])
                if finding is not None:
                    yield finding
            mark = _MARK.search(text, stop)

    def _finding(self, found: bytes) -> Finding | None:
        if len(found) > MAX_URL_NBYTES:
            return Refused("too long")
        url = _trimmed(found).decode("ascii", "replace")
        url = url.partition("?")[0].partition("#")[0]
        try:
            origin, path = origin_of(url), urlsplit(url).path
        except ValueError:
            return Refused("not a plain URL")
        if not any(_is_alike(origin, ours) for ours in self._origins):
            return Refused(_difference(origin, self._origins))
        base, segments = self._named(path)
        if base is None:
            return Refused("another path of this host")
        if any(segment is None for segment in segments):
            return Refused("malformed")
        plain = [segment for segment in segments if segment is not None]
        if any(secret in segment.lower() for segment in plain for secret in self._secrets):
            return Refused("a key in its path")
        if base == _FILES:
            return None if plain[0] == "list" else self._file(plain)  # a list of recordings is no recording
        return self._recording(plain) if base == _RECORDINGS else self._call(plain)

    def _named(self, path: str) -> tuple[str | None, list[str | None]]:
        """The kind of URL, and the segments after what all URLs of that kind have; of v2's by-name form, (call,
        name)."""
        by_name = re.fullmatch(r"(.*)/calls/([0-9]+)/recordings/([^/]+)/?", path, re.ASCII)
        if by_name is not None and self._is_v2(by_name[1]):
            return _REST, [by_name[2], _decoded(by_name[3])]
        for mark, is_base in ((_FILES, self._is_v1), (_RECORDINGS, self._is_v2), (_REST, self._is_legacy)):
            before, found, rest = path.partition(mark)
            if found and is_base(before):
                return mark, [_decoded(segment) for segment in rest.rstrip("/").split("/")]
        return None, []

    def _is_v1(self, path: str) -> bool:
        return path == self._v1_path

    def _is_v2(self, path: str) -> bool:
        # the service's own samples print such URLs without /v2
        return path in ("", self._v2_path)

    def _is_legacy(self, path: str) -> bool:
        return re.fullmatch(r"(?:/api)?/1\.1", path) is not None

    def _recording(self, segments: list[str]) -> Finding:
        recording_id = parse_id(_AUDIO.sub("", segments[0])) if len(segments) == 1 else None
        if recording_id is None:
            return Refused("malformed")
        # without a login for v2, v1 may know it: most often the two ids are the same
        return FoundRecording(recording_id) if self._has_v2 else FoundFile(recording_id)

    def _call(self, segments: list[str]) -> Finding:
        call_id = parse_id(segments[0]) if len(segments) == 2 else None
        if call_id is None:
            return Refused("malformed")
        return FoundCall(call_id) if self._has_v2 else Refused("by name, which needs the v2 login")

    def _file(self, segments: list[str]) -> Finding:
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
        if is_probe_name(name) or name_nbytes(name) > MAX_NAME_NBYTES or decode_name(name) != filename:
            return Refused("a name that no file can have")
        return DynamicRow(0, spelt_hash, year, month, campaign, filename)


def _start(text: bytes, at: int) -> int | None:
    """Where the URL begins whose path goes on at `at`; of two that are run together, the last one."""
    colon = text.rfind(b"://", max(0, at - MAX_URL_NBYTES), at)
    if colon < 0 or _RUN.fullmatch(text, colon, at) is None:
        return None
    before = text[max(0, colon - len(b"https")) : colon].lower()
    scheme = next((scheme for scheme in (b"https", b"http") if before.endswith(scheme)), None)
    return None if scheme is None else colon - len(scheme)


def _end(text: bytes, at: int) -> int:
    """Where the URL that goes on at `at` ends."""
    run = _RUN.match(text, at)
    return run.end() if run is not None else at + 1


def _is_alike(origin: Origin, ours: Origin) -> bool:
    """True where host and port are ours, in either scheme, with `www.` or without."""
    same_port = origin.port == ours.port or (origin.port in _USUAL_PORTS and ours.port in _USUAL_PORTS)
    return same_port and origin.host.removeprefix("www.") == ours.host.removeprefix("www.")


def _difference(origin: Origin, ours: tuple[Origin, ...]) -> str:
    hosts = [one.host.removeprefix("www.") for one in ours]
    return "another port" if origin.host.removeprefix("www.") in hosts else "another host"


def _decoded(segment: str) -> str | None:
    """The text of a path segment; None where it is no text, or leads elsewhere."""
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if text in ("", ".", "..") or _CONTROLS.search(text) else text


def _trimmed(url: bytes) -> bytes:
    """The URL without the punctuation of the sentence around it, including brackets that were opened before it."""
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
    """The position of the last byte that ends a URL; what follows may go on. A run without an end is no URL."""
    start = max(0, len(text) - 2 * MAX_URL_NBYTES)
    cut = start
    for match in _END.finditer(text, start):
        cut = match.start()
    return cut
