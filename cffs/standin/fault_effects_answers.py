"""Faults that replace the honest answer, or change its headers.

It owns the content of such an answer. It must not know which requests are hit (`faults` does), nor how bytes are sent
(`wire` does).
"""

import gzip
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from typing import Final

from cffs.standin.answers import error
from cffs.standin.audio import StoredContent
from cffs.standin.codecs import codec_wav
from cffs.standin.exchange import Reply, describe, reply_to
from cffs.standin.fault_target import FaultTarget
from cffs.standin.objects import StandinObject

LOGIN_PAGE: Final = b"<!DOCTYPE html><html><head><title>Log in</title></head><body><form>Log in</form></body></html>"
BIG_HEADER_NBYTES: Final = 300_000
"""More than h11's and httpcore's buffers take."""
BOMB_NBYTES: Final = 210_000_000
GARBAGE: Final = b"\x00\x01\x02 this is not HTTP \xff\xfe\r\n\r\n" * 4
MALFORMED_JSON: Final = b'{"items": [{"id": 1, "name": "cut of'
MALFORMED_XML: Final = b'<?xml version="1.0"?><fileResponse><recording>http'


def _status(target: FaultTarget) -> None:
    """Options: code (503), retry_after, body (json | html | empty)."""
    reply, code = target.reply, int(target.option("code", 503))
    reply.status, reply.framing, reply.download = code, "length", None
    reply.headers = []
    body = target.option("body", "json")
    if body == "json":
        reply.set_body(error(code).body, content_type="application/json")
    elif body == "html":
        reply.set_body(b"<html><body><h1>Error</h1></body></html>", content_type="text/html")
    else:
        reply.set_body(b"", content_type="text/plain")
    if "retry_after" in target.options:
        reply.set_header("Retry-After", str(target.options["retry_after"]))


def _gzip(target: FaultTarget) -> None:
    """The body is compressed, and labelled so."""
    reply = target.reply
    headers = reply.headers
    reply.set_body(gzip.compress(reply.body(), compresslevel=1), content_type="application/octet-stream")
    reply.headers = [*headers, ("Content-Encoding", "gzip")]


def _bomb(target: FaultTarget) -> None:
    """Option: nbytes (210 MB) of blanks, compressed to a thousandth of that."""
    reply = target.reply
    blanks = gzip.compress(bytes(1_000_000).replace(b"\0", b" "))
    content_type = reply.header("Content-Type") or "application/json"
    reply.set_body(blanks * (int(target.option("nbytes", BOMB_NBYTES)) // 1_000_000), content_type=content_type)
    reply.status = 200
    reply.set_header("Content-Encoding", "gzip")


def _html200(target: FaultTarget) -> None:
    reply = target.reply
    reply.status, reply.headers, reply.framing = 200, [], "length"
    reply.set_body(LOGIN_PAGE, content_type="text/html; charset=utf-8")


def _body(target: FaultTarget) -> None:
    """Any body. Options: data (bytes), content_type (that of the honest answer), status (200)."""
    reply = target.reply
    content_type = target.option("content_type", reply.header("Content-Type") or "application/json")
    reply.status, reply.headers, reply.framing = int(target.option("status", 200)), [], "length"
    reply.set_body(bytes(target.option("data", b"")), content_type=content_type)


def _redirect(target: FaultTarget) -> None:
    """Options: location (the request's own, which is a loop; `{path}` and `{query}` are replaced), code (302)."""
    reply, request = target.reply, target.request
    query = "&".join(f"{name}={value}" for name, values in request.query.items() for value in values)
    location = str(target.option("location", target.site.account.root_url + "{path}"))
    location = location.replace("{path}", request.path).replace("{query}", query)
    reply.status, reply.headers, reply.framing = int(target.option("code", 302)), [], "length"
    reply.set_body(b"moved", content_type="text/plain")
    reply.set_header("Location", location)


def _bighead(target: FaultTarget) -> None:
    target.reply.headers.append(("X-Padding", "x" * int(target.option("nbytes", BIG_HEADER_NBYTES))))


def _garbage(target: FaultTarget) -> None:
    """Option: what (`http` for bytes that are no HTTP, `body` for JSON or XML that ends in the middle)."""
    reply = target.reply
    if target.option("what", "http") == "http":
        reply.raw = GARBAGE
        return
    content_type = reply.header("Content-Type") or "application/json"
    reply.set_body(MALFORMED_XML if "xml" in content_type else MALFORMED_JSON, content_type=content_type)


def _wrong_type(target: FaultTarget) -> None:
    """Only the label is wrong. Option: content_type (text/plain)."""
    target.reply.set_header("Content-Type", target.option("content_type", "text/plain"))


def _no_etag(target: FaultTarget) -> None:
    """Option: last_modified (True, which keeps that header)."""
    target.reply.set_header("ETag", None)
    if not target.option("last_modified", True):
        target.reply.set_header("Last-Modified", None)


def _weak_etag(target: FaultTarget) -> None:
    etag = target.reply.header("ETag")
    if etag:
        target.reply.set_header("ETag", "W/" + etag)


def _no_head(target: FaultTarget) -> None:
    if target.request.method == "HEAD":
        reply = target.reply
        reply.status, reply.headers = 405, [("Allow", "GET")]
        reply.source, reply.start, reply.stop, reply.framing = StoredContent(b""), 0, 0, "length"


def _replace(target: FaultTarget) -> None:
    """The object has other bytes from this answer on. Option: path (the one asked for)."""
    path = str(target.option("path", target.request.path))
    if target.site.account.object_for(path) is None:
        return
    target.site.account.replace_object(path)
    fresh = reply_to(target.site, target.request)
    reply = target.reply
    reply.status, reply.headers, reply.download = fresh.status, fresh.headers, fresh.download
    reply.source, reply.start, reply.stop = fresh.source, fresh.start, fresh.stop


def _new_validators(target: FaultTarget) -> None:
    """The right bytes under validators that no other answer has. Option: what (`both`, `etag`, `date`)."""
    reply, what = target.reply, target.option("what", "both")
    if reply.download is None:
        return
    number = next(_ANSWERS)
    if what in ("both", "etag"):
        reply.set_header("ETag", f'"answer-{number}"')
    if what in ("both", "date"):
        modified = formatdate(reply.download.modified_ms / 1000 + number, usegmt=True)
        reply.set_header("Last-Modified", modified)


def _codec(target: FaultTarget) -> None:
    """Every object is a WAV in a codec of telephone systems. Options: codec (gsm), seconds (3)."""
    download, name = target.reply.download, str(target.option("codec", "gsm"))
    if download is None:
        return
    data = codec_wav(name, seed=download.key, seconds=float(target.option("seconds", 3.0)))
    etag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    _serve(target, replace(download, content=StoredContent(data), content_type="audio/x-wav", etag=etag))


def _entries(target: FaultTarget) -> None:
    """The list of a call's recordings as another serialiser writes it. Option: spelling (a key of SPELLINGS; host)."""
    reply = target.reply
    if reply.kind != "listRecordings" or reply.status != 200:
        return
    urls = re.findall(r'https?://[^<"\s]+/files/recording/[0-9]+', reply.body().decode())
    document = {"description": "Recordings Fetched", "successful": True}
    spelt = SPELLINGS[str(target.option("spelling", "host"))](urls)
    reply.set_body(json.dumps({**document, **spelt}).encode(), content_type="application/json")


def _other_machine(target: FaultTarget) -> None:
    """A service of several machines: each answer is about the next object. Option: objects (an iterator)."""
    if target.reply.download is not None:
        _serve(target, next(target.options["objects"]))


def _serve(target: FaultTarget, other: StandinObject) -> None:
    """Answer honestly, but with another object."""
    reply = target.reply
    fresh = Reply(status=200, kind=reply.kind, download=other)
    describe(target.site, target.request, fresh, other)
    reply.status, reply.headers, reply.download, reply.framing = fresh.status, fresh.headers, other, fresh.framing
    reply.source, reply.start, reply.stop = fresh.source, fresh.start, fresh.stop


def _unsatisfiable(target: FaultTarget) -> None:
    """Option: content_range (that of the object; None leaves it out)."""
    reply = target.reply
    total = reply.download.total_nbytes if reply.download else 0
    reply.status = 416
    reply.source, reply.start, reply.stop, reply.framing = StoredContent(b""), 0, 0, "length"
    reply.set_header("Content-Range", target.option("content_range", f"bytes */{total}"))


def _rows(target: FaultTarget) -> None:
    """JSON changed by the test. Option: change (a function from the parsed answer to another, or to None)."""
    reply = target.reply
    if "json" in (reply.header("Content-Type") or "") and reply.status == 200:
        changed = target.options["change"](json.loads(reply.body()))
        body = json.dumps(changed).encode("utf-8", "surrogatepass")
        reply.set_body(body, content_type=reply.header("Content-Type") or "application/json")


def _absent(target: FaultTarget) -> None:
    """404 in the API's own form."""
    reply = target.reply
    reply.headers, reply.status, reply.framing, reply.download = [], 404, "length", None
    reply.set_body(error(404, re.sub(r"\d+", "N", target.request.path)).body, content_type="application/json")


def _ids(urls: list[str]) -> list[int]:
    return [int(url.rpartition("/")[2]) for url in urls]


SPELLINGS: Final[dict[str, Callable[[list[str]], dict[str, object]]]] = {
    "host": lambda urls: {"recording": [re.sub(r"//[^/]+", "//recordings.example.net", url) for url in urls]},
    "scheme": lambda urls: {"recording": [url.replace("http://", "https://") for url in urls]},
    "value": lambda urls: {"recording": [{"value": url} for url in urls]},
    "recordings": lambda urls: {"recordings": urls},
    "nested": lambda urls: {"recordings": {"recording": urls}},
    "single": lambda urls: {"recording": urls[0] if len(urls) == 1 else urls},
    "ids": lambda urls: {"recording": _ids(urls)},
    "attributes": lambda urls: {"recording": [{"@id": str(ident)} for ident in _ids(urls)]},
    "unreadable": lambda urls: {"recording": [url.replace("/recording/", "/recording/x") for url in urls]},
}
"""Ways in which v1's entries may be spelt; the last one cannot be read."""

_ANSWERS: Final = itertools.count(1)

FAULTS: Final[dict[str, Callable[[FaultTarget], None]]] = {
    "status": _status,
    "absent": _absent,
    "gzip": _gzip,
    "bomb": _bomb,
    "html200": _html200,
    "body": _body,
    "rows": _rows,
    "redirect": _redirect,
    "bighead": _bighead,
    "garbage": _garbage,
    "wrong_type": _wrong_type,
    "no_etag": _no_etag,
    "weak_etag": _weak_etag,
    "no_head": _no_head,
    "replace": _replace,
    "other_machine": _other_machine,
    "new_validators": _new_validators,
    "codec": _codec,
    "entries": _entries,
    "416": _unsatisfiable,
}
"""By their names in tests, in the request log and on the command line."""
