"""What the status of an answer means, with the words of its body.

It owns the evidence of which operations the service offers. It must not know retries, health, or what a good body
holds. The meaning of each status by itself is in `callfire/response_checks`.
"""

from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass

import trio

from cffs.callfire.path_patterns import object_of, operation_of
from cffs.callfire.request import Request
from cffs.callfire.response_checks import NotFoundMeans, check_act, check_status
from cffs.callfire.wire.exchange import OpenResponse
from cffs.core.errors import AccessRefused, CffsError, ObjectRefused, OperationNotOffered, OriginBusy
from cffs.core.refusals import is_about_rate_limit
from cffs.core.source import Api
from cffs.core.units import KIB
from cffs.core.v1_parser import require_service
from cffs.core.v2_parsers import parse_duplicate_media_id, parse_error_message, parse_error_words

_MAX_ERROR_NBYTES = 16 * KIB  # enough for the message of an error
_ERROR_BODY_SECONDS = 0.5
#: This many objects that an operation denied itself for, and none that it answered for, prove that it is not offered.
_PROOFS = 2


def _nothing() -> None:
    """For an answer that no other machine gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A whole answer with a 2xx status; `served_ms` is the time on the service's clock, where it gives one.

    `age_seconds` is how long ago it was asked for, above 0 where another machine asked. `accept` is to be called once
    the body was read as an answer to what was asked: only then may other machines have it.
    """

    status: int
    body: bytes
    content_type: str
    served_ms: int | None = None
    age_seconds: float = 0.0
    accept: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class UncheckedResponse:
    """An answer of any status, its body cut to 64 KiB. `error` is what the status means, None for 2xx.

    `is_foreign` is True where another host answered, to which the service had redirected without credentials.
    """

    status: int
    content_type: str
    body: bytes
    is_foreign: bool
    error: CffsError | None = None


def is_success(opened: OpenResponse) -> bool:
    """Whether the status is 2xx."""
    return 200 <= opened.status <= 299


async def error_body(opened: OpenResponse) -> bytes:
    """The beginning of a failure's body, for its words and so that the connection can be used again.

    b"" for a success, whose body is left where it is. A checkpoint where it waits, at most half a second; raises
    nothing, since the status has said enough.
    """
    body = bytearray()
    if not is_success(opened):
        with suppress(CffsError), trio.move_on_after(_ERROR_BODY_SECONDS):
            while len(body) < _MAX_ERROR_NBYTES and (chunk := await opened.receive()):
                body += chunk
    return bytes(body)


class OperationEvidence:
    """Which operations on single objects have answered, and which have only ever answered that they do not exist."""

    def __init__(self) -> None:
        self._answered: set[Hashable] = set()
        self._denied: dict[Hashable, set[str]] = {}

    def note_answer(self, api: Api, path: str) -> None:
        """Note that the operation gave an object, or refused it for a reason of the object's own."""
        operation = (api, operation_of(path))
        self._answered.add(operation)
        self._denied.pop(operation, None)

    def note_denial(self, api: Api, path: str) -> bool:
        """Note a 405 or 501; True where the denials so far prove that the operation is not offered."""
        operation = (api, operation_of(path))
        if operation in self._answered:
            return False
        objects = self._denied.setdefault(operation, set())
        if len(objects) < _PROOFS:
            objects.add(object_of(path))
        return len(objects) >= _PROOFS


class StatusReader:
    """Reads the statuses of one transport's answers. No method awaits."""

    def __init__(self, *, redacted: Callable[[str], str], now_ns: Callable[[], int]) -> None:
        """`redacted` takes the secrets out of a text."""
        self._redacted = redacted
        self._now_ns = now_ns
        self._operations = OperationEvidence()

    def check_page(self, request: Request, page: bytes) -> None:
        """Raise what a page in the place of an object says about the whole service; return for every other page.

        Raises OriginBusy for a rate limit and, for API v1, which refuses with status 200, AccessRefused for the key.
        """
        if is_about_rate_limit(parse_error_words(page), path=request.path):
            raise OriginBusy(-1.0)
        if request.api is Api.V1:
            require_service(page)

    def require_success(self, opened: OpenResponse, request: Request, *, not_found: NotFoundMeans, body: bytes) -> None:
        """Return for 2xx; else raise what the status means, with the words of `body`.

        A 405 or 501 is the object's trouble, unless the operation has denied itself for other objects too and has
        answered for none. A duplicate upload is reported as one, whatever else the body says.
        """
        if is_success(opened):
            self._operations.note_answer(request.api, request.path)
            return
        message = self._redacted(parse_error_message(body))
        what = f"{request.what}: {message}" if message else request.what
        duplicate = None if request.idempotent else parse_duplicate_media_id(body)
        is_rate_limit = duplicate is None and is_about_rate_limit(parse_error_words(body), path=request.path)
        if not request.idempotent and not is_rate_limit:
            check_act(opened.status, what=what, duplicate_media_id=duplicate)
        try:
            check_status(
                opened.status,
                opened.headers,
                what=what,
                not_found=not_found,
                now_ns=self._now_ns(),
                is_rate_limit=is_rate_limit,
            )
        except ObjectRefused as refusal:
            if self._operations.note_denial(request.api, request.path):
                raise OperationNotOffered(str(refusal)) from None  # the same fact, about more than one object
            raise
        except AccessRefused:
            self._operations.note_answer(request.api, request.path)
            raise
