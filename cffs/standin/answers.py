"""Requests, answers and operations, and the grammar that both APIs share.

A handler is a plain function from a request to an answer. It owns these values, the table row of an operation, error
bodies, pages and `fields`. It must not know sockets, ranges or faults.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from cffs.standin.account import Account
from cffs.standin.generated_rows import Row
from cffs.standin.objects import StandinObject

DEFAULT_LIMIT: Final = 100
MAX_PAGES_OFFSET: Final = 2**31 - 1
"""Offsets are int32 in the document."""

REASONS: Final = {
    400: "bad request",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    405: "method not allowed",
    413: "payload too large",
    500: "internal error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The credentials that the stand-in accepts."""

    apikey: str
    login: str
    password: str
    account_login: str
    account_password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The stand-in's choices where the documents leave one; they do not change while it runs."""

    seed_only: bool = False
    """Answer only the operations of the two documents."""
    v1: bool = True
    v2: bool = True
    max_limit: int = 1000
    over_limit: str = "error"
    """`error` answers a larger limit with 400; `cap` cuts it, and the page echoes the limit that holds."""
    embed_recordings: bool = True
    """Pages of `/calls` carry `records[].recordings`; otherwise the key is absent."""
    echo_paging: bool = True
    """Pages carry `limit` and `offset`."""
    know_total: bool = True
    """Pages carry the true `totalCount`; otherwise -1."""
    honour_ranges: bool = True
    honour_fields: bool = True
    send_etag: bool = True
    send_last_modified: bool = True
    send_length: bool = True
    """Objects carry Content-Length; otherwise a whole object is chunked and ranges are ignored."""
    answer_head: bool = True
    max_upload_nbytes: int = 20_000_000
    unavailable_seconds: float = 0
    """For this long after an upload its bytes are "currently unavailable"."""
    transcode_uploads: bool = False
    """A download has other bytes than the upload had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: `path` is percent-encoded as sent, header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes

    def first(self, name: str) -> str | None:
        """The first value of a query parameter, None without one."""
        values = self.query.get(name)
        return values[0] if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The intended answer: a body, or an object of which the request may want a part."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    body: bytes = b""
    download: StandinObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything that a handler may use."""

    account: Account
    options: Options
    credentials: Credentials


Handler = Callable[[Site, Request, dict[str, str]], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row of an API's table. `kind` is the document's operationId; the first row that matches wins."""

    method: str
    path: re.Pattern[str]
    kind: str
    handler: Handler
    in_seed: bool
    login: str = "api"
    """`api`, `account` (the account holder's own login) or `apikey`."""


def operation(
    method: str, path: str, kind: str, handler: Handler, *, in_seed: bool = True, login: str = "api"
) -> Operation:
    """A row; in `path`, `{id}` matches digits and any other `{name}` one segment."""
    pattern = re.sub(r"\\{(\w+)\\}", lambda m: rf"(?P<{m[1]}>{'[0-9]+' if m[1] == 'id' else '[^/]+'})", re.escape(path))
    return Operation(method=method, path=re.compile(pattern), kind=kind, handler=handler, in_seed=in_seed, login=login)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The result for a path and method: an operation with its decoded parameters, or the methods that would lead to
    one."""

    operation: Operation | None
    parameters: dict[str, str] = field(default_factory=dict)
    other_methods: tuple[str, ...] = ()


def find_operation(table: Sequence[Operation], *, method: str, path: str, seed_only: bool) -> Found:
    """The first row for the path (below the API's base) and method; HEAD is found where GET is."""
    wanted = "GET" if method == "HEAD" else method
    others: list[str] = []
    for row in table:
        if seed_only and not row.in_seed:
            continue
        match = row.path.fullmatch(path)
        if match is None:
            continue
        if row.method == wanted:
            return Found(operation=row, parameters={k: unquote(v) for k, v in match.groupdict().items()})
        others.append(row.method)
    return Found(operation=None, other_methods=tuple(others))


def json_answer(value: object, *, status: int = 200) -> Answer:
    """A JSON body."""
    return Answer(status=status, body=json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def error(status: int, message: str | None = None, *, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An ErrorResponse."""
    body = {
        "httpStatusCode": status,
        "internalCode": status % 100,
        "message": message or REASONS.get(status, "error"),
        "developerMessage": f"cffs stand-in: {message or REASONS.get(status, 'error')}",
        "helpLink": "https://developers.callfire.com/results-responses-errors.html",
    }
    return Answer(status=status, body=json.dumps(body).encode(), headers=headers)


def basic_pair(request: Request) -> tuple[str, str] | None:
    """The login and password of HTTP Basic; None where there are none."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        login, colon, password = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except ValueError:
        return None
    return (login, password) if colon else None


class BadParameter(ValueError):
    """A query parameter that cannot be read; the message is for the error body."""


def integer(request: Request, name: str) -> int | None:
    """A whole number from the query. Raises BadParameter for anything else."""
    text = request.first(name)
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII):
        raise BadParameter(f"{name} must be a number")
    return int(text)


def paging(site: Site, request: Request) -> tuple[int, int]:
    """The limit and offset asked for. Raises BadParameter for a limit that is too large by the options."""
    limit = integer(request, "limit")
    offset = integer(request, "offset") or 0
    limit = DEFAULT_LIMIT if limit is None else limit
    if limit < 1 or not 0 <= offset <= MAX_PAGES_OFFSET:
        raise BadParameter("limit and offset must not be negative")
    if limit > site.options.max_limit:
        if site.options.over_limit == "error":
            raise BadParameter(f"limit must not exceed {site.options.max_limit}")
        limit = site.options.max_limit
    return limit, offset


def page(site: Site, request: Request, rows: Sequence[Row], *, limit: int, offset: int, total: int) -> Answer:
    """The answer with a page of rows."""
    value: Row = {"items": list(rows)}
    if site.options.echo_paging:
        value |= {"limit": limit, "offset": offset}
    value["totalCount"] = total if site.options.know_total else -1
    return selected(site, request, value)


def paged(site: Site, request: Request, rows: Sequence[Row]) -> Answer:
    """The page of `rows` that the request asks for."""
    limit, offset = paging(site, request)
    return page(site, request, rows[offset : offset + limit], limit=limit, offset=offset, total=len(rows))


def selected(site: Site, request: Request, value: Row) -> Answer:
    """The object, cut to what `fields` asks for."""
    fields = request.first("fields")
    if fields and site.options.honour_fields:
        return json_answer(_cut(value, _parse_fields(fields)))
    return json_answer(value)


_Fields = dict[str, Any]


def _parse_fields(text: str) -> _Fields:
    """`id,items(name,agents(id))` as nested dicts; a leaf is an empty one."""
    root: _Fields = {}
    stack = [root]
    last: str | None = None
    for piece in re.findall(r"[^,()]+|[()]", text):
        if piece == "(" and last is not None:
            stack.append(stack[-1][last])
            last = None
        elif piece == ")" and len(stack) > 1:
            stack.pop()
            last = None
        elif piece not in "()":
            last = piece.strip()
            stack[-1].setdefault(last, {})
    return root


def _cut(value: Any, fields: _Fields) -> Any:
    if not fields:
        return value
    if isinstance(value, list):
        return [_cut(item, fields) for item in value]
    if isinstance(value, dict):
        return {name: _cut(item, fields[name]) for name, item in value.items() if name in fields}
    return value
