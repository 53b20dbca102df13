"""Faults that put another answer in the place of the honest one, or other words on its label.

This module owns what such an answer says.
It must not know which requests are hit (that is `faults`) nor how bytes are sent (that is `wire`).
`faults` calls the table.
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

LOGIN_PAGE: Final = b"<!DOCTYPE html><html><head><title>Log in</title></head><body><form>Log in</form></body></html>"
BIG_HEADER_NBYTES: Final = 300_000
"""More than h11's and httpcore's buffers take."""
BOMB_NBYTES: Final = 210_000_000
GARBAGE: Final = b"\x00\x01\x02 this is not HTTP \xff\xfe\r\n\r\n" * 4
MALFORMED_JSON: Final = b'{"items": [{"id": 1, "name": "cut of'
MALFORMED_XML: Final = b'<?xml version="1.0"?><fileResponse><recording>http'


def _status(bending: FaultTarget) -> None:
    """Options: code (503), retry_after, body (json | html | empty)."""
    reply, code = bending.reply, int(bending.option("code", 503))
    reply.status, reply.framing, reply.download = code, "length", None
    reply.headers = []
    body = bending.option("body", "json")
    if body == "json":
        reply.set_body(error(code).body, content_type="application/json")
    elif body == "html":
        reply.set_body(b"<html><body><h1>Error</h1></body></html>", content_type="text/html")
    else:
        reply.set_body(b"", content_type="text/plain")
    if "retry_after" in bending.options:
        reply.set_header("Retry-After", str(bending.options["retry_after"]))


def _gzip(bending: FaultTarget) -> None:
    """Really compressed, and said so."""
    reply = bending.reply
    told = reply.headers
    reply.set_body(gzip.compress(reply.body(), compresslevel=1), content_type="application/octet-stream")
    reply.headers = [*told, ("Content-Encoding", "gzip")]


def _bomb(bending: FaultTarget) -> None:
    """Option: nbytes (210 MB) of blanks, compressed to a thousandth."""
    reply = bending.reply
    blanks = gzip.compress(bytes(1_000_000).replace(b"\0", b" "))
    content_type = reply.header("Content-Type") or "application/json"
    reply.set_body(blanks * (int(bending.option("nbytes", BOMB_NBYTES)) // 1_000_000), content_type=content_type)
    reply.status = 200
    reply.set_header("Content-Encoding", "gzip")


def _html200(bending: FaultTarget) -> None:
    reply = bending.reply
    reply.status, reply.headers, reply.framing = 200, [], "length"
    reply.set_body(LOGIN_PAGE, content_type="text/html; charset=utf-8")


def _body(bending: FaultTarget) -> None:
    """Options: data (bytes), content_type (that of the honest answer), status (200): any body at all."""
    reply = bending.reply
    content_type = bending.option("content_type", reply.header("Content-Type") or "application/json")
    reply.status, reply.headers, reply.framing = int(bending.option("status", 200)), [], "length"
    reply.set_body(bytes(bending.option("data", b"")), content_type=content_type)


def _redirect(bending: FaultTarget) -> None:
    """Options: location (itself: a loop; `{path}` and `{query}` are replaced), code (302)."""
    reply, request = bending.reply, bending.request
    query = "&".join(f"{name}={value}" for name, values in request.query.items() for value in values)
    location = str(bending.option("location", bending.site.account.root_url + "{path}"))
    location = location.replace("{path}", request.path).replace("{query}", query)
    reply.status, reply.headers, reply.framing = int(bending.option("code", 302)), [], "length"
    reply.set_body(b"moved", content_type="text/plain")
    reply.set_header("Location", location)


def _bighead(bending: FaultTarget) -> None:
    bending.reply.headers.append(("X-Padding", "x" * int(bending.option("nbytes", BIG_HEADER_NBYTES))))


def _garbage(bending: FaultTarget) -> None:
    """Option: what (`http`: bytes that are no HTTP; `body`: JSON or XML that ends in the middle)."""
    reply = bending.reply
    if bending.option("what", "http") == "http":
        reply.raw = GARBAGE
        return
    content_type = reply.header("Content-Type") or "application/json"
    reply.set_body(MALFORMED_XML if "xml" in content_type else MALFORMED_JSON, content_type=content_type)


def _wrong_type(bending: FaultTarget) -> None:
    """Option: content_type (text/plain): only the label is wrong."""
    bending.reply.set_header("Content-Type", bending.option("content_type", "text/plain"))


def _no_etag(bending: FaultTarget) -> None:
    """Option: last_modified (True): keep that one."""
    bending.reply.set_header("ETag", None)
    if not bending.option("last_modified", True):
        bending.reply.set_header("Last-Modified", None)


def _weak_etag(bending: FaultTarget) -> None:
    etag = bending.reply.header("ETag")
    if etag:
        bending.reply.set_header("ETag", "W/" + etag)


def _no_head(bending: FaultTarget) -> None:
    if bending.request.method == "HEAD":
        reply = bending.reply
        reply.status, reply.headers = 405, [("Allow", "GET")]
        reply.source, reply.start, reply.stop, reply.framing = StoredContent(b""), 0, 0, "length"


def _replace(bending: FaultTarget) -> None:
    """Option: path (the one asked for): that object has other bytes from this answer on."""
    path = str(bending.option("path", bending.request.path))
    if bending.site.account.object_for(path) is None:
        return
    bending.site.account.replace_object(path)
    fresh = reply_to(bending.site, bending.request)
    reply = bending.reply
    reply.status, reply.headers, reply.download = fresh.status, fresh.headers, fresh.download
    reply.source, reply.start, reply.stop = fresh.source, fresh.start, fresh.stop


def _new_validators(bending: FaultTarget) -> None:
    """Option: what (`both`, `etag`, `date`): the right bytes, under validators that no other answer has."""
    reply, what = bending.reply, bending.option("what", "both")
    if reply.download is None:
        return
    number = next(_ANSWERS)
    if what in ("both", "etag"):
        reply.set_header("ETag", f'"answer-{number}"')
    if what in ("both", "date"):
        modified = formatdate(reply.download.modified_ms / 1000 + number, usegmt=True)
        reply.set_header("Last-Modified", modified)


def _codec(bending: FaultTarget) -> None:
    """Options: codec (gsm), seconds (3): in the place of every object a WAV in a codec of telephone systems."""
    told, name = bending.reply, str(bending.option("codec", "gsm"))
    if told.download is None:
        return
    data = codec_wav(name, seed=told.download.key, seconds=float(bending.option("seconds", 3.0)))
    etag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    found = replace(told.download, content=StoredContent(data), content_type="audio/x-wav", etag=etag)
    fresh = Reply(status=200, kind=told.kind, download=found)
    describe(bending.site, bending.request, fresh, found)
    told.status, told.headers, told.download, told.framing = fresh.status, fresh.headers, found, fresh.framing
    told.source, told.start, told.stop = fresh.source, fresh.start, fresh.stop


def _entries(bending: FaultTarget) -> None:
    """Option: spelling (a key of SPELLINGS; host): the list of a call's recordings as other serialisers write it."""
    reply = bending.reply
    if reply.kind != "listRecordings" or reply.status != 200:
        return
    urls = re.findall(r'https?://[^<"\s]+/files/recording/[0-9]+', reply.body().decode())
    document = {"description": "Recordings Fetched", "successful": True}
    spelt = SPELLINGS[str(bending.option("spelling", "host"))](urls)
    reply.set_body(json.dumps({**document, **spelt}).encode(), content_type="application/json")


def _other_machine(bending: FaultTarget) -> None:
    """Option: objects (an iterator of them): a service of several machines, each answer is of the next object."""
    told = bending.reply
    if told.download is None:
        return
    found = next(bending.options["objects"])
    fresh = Reply(status=200, kind=told.kind, download=found)
    describe(bending.site, bending.request, fresh, found)
    told.status, told.headers, told.download, told.framing = fresh.status, fresh.headers, found, fresh.framing
    told.source, told.start, told.stop = fresh.source, fresh.start, fresh.stop


def _unsatisfiable(bending: FaultTarget) -> None:
    """Option: content_range (that of the object; None: without)."""
    reply = bending.reply
    total = reply.download.total_nbytes if reply.download else 0
    reply.status = 416
    reply.source, reply.start, reply.stop, reply.framing = StoredContent(b""), 0, 0, "length"
    reply.set_header("Content-Range", bending.option("content_range", f"bytes */{total}"))


def _rows(bending: FaultTarget) -> None:
    """Option: change (a function from the parsed answer to another, or to None): JSON bent by the test itself."""
    reply = bending.reply
    if "json" in (reply.header("Content-Type") or "") and reply.status == 200:
        changed = bending.options["change"](json.loads(reply.body()))
        body = json.dumps(changed).encode("utf-8", "surrogatepass")
        reply.set_body(body, content_type=reply.header("Content-Type") or "application/json")


def _absent(bending: FaultTarget) -> None:
    """404 in the API's own words."""
    reply = bending.reply
    reply.headers, reply.status, reply.framing, reply.download = [], 404, "length", None
    reply.set_body(error(404, re.sub(r"\d+", "N", bending.request.path)).body, content_type="application/json")


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
"""Ways in which v1's entries may be spelt, the last of which nobody can read."""

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
"""By the name that tests, the request log and the command line use."""
