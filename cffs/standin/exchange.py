"""The honest reply to a request: route, login, range and validators.

It owns the meaning of HTTP (206, 304, 412, 416, HEAD) for both APIs. The account's lock is held while a reply is made.
It must not know sockets, and never waits.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

from cffs.standin import v1, v2
from cffs.standin.answers import Answer, BadParameter, Found, Request, Site, basic_pair, error, find_operation
from cffs.standin.audio import Content, StoredContent
from cffs.standin.objects import StandinObject

UNKNOWN_KIND: Final = "unknown"
_NOTHING: Final = StoredContent(b"")
_RANGE: Final = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.ASCII)


@dataclass(slots=True, kw_only=True)
class Reply:
    """The bytes of a reply, and how they are sent. Mutable: faults change it before it is sent.

    The body is `source[start:stop]`. `framing` is `length` (with a Content-Length), `chunked`, or `close` (ended by the
    end of the connection).
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    source: Content = _NOTHING
    start: int = 0
    stop: int = 0
    framing: str = "length"
    kind: str = UNKNOWN_KIND
    download: StandinObject | None = None

    raw: bytes | None = None
    """Sent instead of everything."""
    before: str = "answer"
    """`answer`; `reset`, `hang` or `stall_head` before a whole head is sent; `drip_head` for a head byte by byte;
    `interim` for one 103 after another without an answer."""
    delay_seconds: float = 0
    cut_at: int | None = None
    """The number of body bytes before `cut` happens."""
    cut: str = "close"
    """`close`, `reset` or `stall`."""
    stall_seconds: float | None = None
    """The length of a stall; None until the client leaves."""
    drip_nbytes: int | None = None
    drip_seconds: float = 0
    close_after: bool = False

    def set_header(self, name: str, value: str | None) -> None:
        """Replace a header, or remove it where the value is None."""
        self.headers = [(other, text) for other, text in self.headers if other.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))

    def header(self, name: str) -> str | None:
        """A header's value; None where it is absent."""
        return next((text for other, text in self.headers if other.lower() == name.lower()), None)

    def set_body(self, body: bytes, *, content_type: str) -> None:
        """Replace the body by another, which is sent whole."""
        self.source, self.start, self.stop = StoredContent(body), 0, len(body)
        self.set_header("Content-Type", content_type)
        self.set_header("Content-Range", None)

    def body(self) -> bytes:
        """The bytes that would be sent."""
        return self.source.read(self.start, self.stop - self.start)


def reply_to(site: Site, request: Request) -> Reply:
    """The honest reply to a request. It raises nothing, whatever the client sent."""
    with site.account.lock:
        kind, answer = _answer(site, request)
    reply = Reply(status=answer.status, kind=kind, download=answer.download, headers=list(answer.headers))
    if answer.download is None:
        if answer.body:
            reply.set_body(answer.body, content_type=answer.content_type)
        return reply
    describe(site, request, reply, answer.download)
    return reply


def kind_of(site: Site, request: Request) -> str:
    """The operationId that a request asks for; its body may not have arrived yet."""
    found = _found(site, request)
    return UNKNOWN_KIND if found is None or found.operation is None else found.operation.kind


def refusal_of(kind: str, status: int) -> Reply:
    """The reply that says no in the API's own words, whatever was asked."""
    reply = Reply(status=status, kind=kind, close_after=True)
    reply.set_body(error(status).body, content_type="application/json")
    return reply


def _found(site: Site, request: Request) -> Found | None:
    """What the path leads to; None outside of both APIs."""
    options = site.options
    for is_there, base, table in ((options.v1, v1.BASE, v1.OPERATIONS), (options.v2, v2.BASE, v2.OPERATIONS)):
        if is_there and request.path.startswith(base + "/"):
            below = request.path.removeprefix(base)
            return find_operation(table, method=request.method, path=below, seed_only=options.seed_only)
    return None


def _answer(site: Site, request: Request) -> tuple[str, Answer]:
    """The operationId and the answer: by the table first, then the login, then the handler."""
    options = site.options
    found = _found(site, request)
    if found is None:
        return UNKNOWN_KIND, error(404)
    if found.operation is None:
        if found.other_methods and not options.seed_only:
            return UNKNOWN_KIND, error(405, headers=(("Allow", ", ".join(found.other_methods)),))
        is_v1 = request.path.startswith(v1.BASE + "/")
        return UNKNOWN_KIND, v1.failure(404, "not found") if is_v1 else error(404)
    kind = found.operation.kind
    if request.method == "HEAD" and not options.answer_head:
        return kind, error(405, headers=(("Allow", "GET"),))
    refused = _refusal(site, request, login=found.operation.login)
    if refused is not None:
        return kind, refused
    try:
        return kind, found.operation.handler(site, request, found.parameters)
    except BadParameter as bad:
        return kind, error(400, str(bad))


def _refusal(site: Site, request: Request, *, login: str) -> Answer | None:
    """The refusal of a login; None where the request is allowed."""
    accepted = site.credentials
    if login == "apikey":
        return None if request.first("apikey") == accepted.apikey else v1.failure(401, "Invalid apikey")
    pair = basic_pair(request)
    challenge = (("WWW-Authenticate", 'Basic realm="CallFire"'),)
    if pair is None:
        return error(401, headers=challenge)
    is_holder = pair == (accepted.account_login, accepted.account_password)
    is_api = pair == (accepted.login, accepted.password) or site.account.me.accepts(*pair)
    if login == "account":
        return None if is_holder else error(403 if is_api else 401, headers=() if is_api else challenge)
    return None if is_api else error(401, headers=challenge)


def describe(site: Site, request: Request, reply: Reply, download: StandinObject) -> None:
    """Make the reply one about that object: validators, conditions and the range."""
    options = site.options
    total = download.total_nbytes
    reply.headers.append(("Content-Type", download.content_type))
    modified = formatdate(download.modified_ms // 1000, usegmt=True)
    if options.send_etag:
        reply.headers.append(("ETag", download.etag))
    if options.send_last_modified:
        reply.headers.append(("Last-Modified", modified))
    asked = request.headers
    if options.send_etag and "if-match" in asked and asked["if-match"] not in ("*", download.etag):
        reply.status = 412
        return
    if options.send_etag and asked.get("if-none-match") in ("*", download.etag):
        reply.status = 304
        return
    reply.source, reply.stop = download.content, total
    if not options.send_length:
        reply.framing = "chunked"
        return
    if not options.honour_ranges:
        return
    reply.headers.append(("Accept-Ranges", "bytes"))
    bounds = asked_range(asked.get("range"), total)
    if bounds is None or request.method == "HEAD" or not _same_version(asked, download.etag, modified):
        return
    start, stop = bounds
    if start >= stop:
        reply.status, reply.source, reply.stop = 416, _NOTHING, 0
        reply.headers.append(("Content-Range", f"bytes */{total}"))
        return
    reply.status, reply.start, reply.stop = 206, start, stop
    reply.headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{total}"))


def asked_range(header: str | None, total_nbytes: int) -> tuple[int, int] | None:
    """The start and stop of a single range, empty where it cannot be met; None where everything is to be sent."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start = max(0, total_nbytes - int(last))
        return (start, total_nbytes) if int(last) else (0, 0)
    start = int(first)
    stop = min(int(last) + 1, total_nbytes) if last else total_nbytes
    if last and int(last) < start:
        return None
    return (start, stop) if start < total_nbytes else (0, 0)


def _same_version(headers: Mapping[str, str], etag: str, modified: str) -> bool:
    """Whether If-Range, where there is one, names this version; a date does where it equals Last-Modified."""
    condition = headers.get("if-range")
    if condition is None or condition == etag:
        return True
    try:
        return parsedate_to_datetime(condition) == parsedate_to_datetime(modified)
    except ValueError:
        return False
