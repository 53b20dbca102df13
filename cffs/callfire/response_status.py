"""What an answer's status means for what was asked, with the words of its body.

It owns which operations have answered so far. It must not know retries, health or what a good answer holds.
"""

from collections.abc import Callable
from contextlib import suppress

import trio

from cffs.callfire.request_loop import Ask
from cffs.callfire.request_subjects import OperationsAsked
from cffs.callfire.response_checks import NotFoundMeans, check_act, check_status
from cffs.callfire.wire.exchange import Opened
from cffs.core.api_v1 import require_service
from cffs.core.api_v2 import parse_duplicate_media_id, parse_error_message, parse_error_words
from cffs.core.errors import AccessRefused, CffsError, ObjectRefused, OperationNotOffered, OriginBusy
from cffs.core.refusals import is_about_rate_limit
from cffs.core.source import Api
from cffs.core.units import KIB

_MAX_ERROR_NBYTES = 16 * KIB  # enough for its message
_ERROR_BODY_SECONDS = 0.5


def is_success(opened: Opened) -> bool:
    """Whether the status is 2xx."""
    return 200 <= opened.status <= 299


async def error_body(opened: Opened) -> bytes:
    """A little of a failure's body, for its words and to keep the connection; b"" for a success, whose body stays."""
    body = bytearray()
    if not is_success(opened):
        with suppress(CffsError), trio.move_on_after(_ERROR_BODY_SECONDS):  # the status has said enough
            while len(body) < _MAX_ERROR_NBYTES and (chunk := await opened.receive()):
                body += chunk
    return bytes(body)


class Statuses:
    """Reads the statuses of one transport's answers. No method awaits."""

    def __init__(self, *, redacted: Callable[[str], str], now_ns: Callable[[], int]) -> None:
        """`redacted` takes the secrets out of a text."""
        self._redacted = redacted
        self._now_ns = now_ns
        self._operations = OperationsAsked()

    def read_page(self, ask: Ask, page: bytes) -> None:
        """Raise what a page in the place of an object says of the whole service: OriginBusy for a rate limit and, of
        API v1, which refuses with status 200, AccessRefused for the key. Return for every other page."""
        if is_about_rate_limit(parse_error_words(page), path=ask.path):
            raise OriginBusy(-1.0)
        if ask.api is Api.V1:
            require_service(page)

    def require_success(self, opened: Opened, ask: Ask, not_found: NotFoundMeans, body: bytes) -> None:
        """Return for 2xx; else raise what the status means, with the words of `body`.

        A 405 or 501 is the object's trouble, unless the operation has denied itself for others too and answered for
        none. An upload that is there already is that, whatever else the body says.
        """
        if is_success(opened):
            self._operations.answered(ask.api, ask.path)
            return
        message = self._redacted(parse_error_message(body))
        what = f"{ask.what}: {message}" if message else ask.what
        duplicate = None if ask.idempotent else parse_duplicate_media_id(body)
        is_rate_limit = duplicate is None and is_about_rate_limit(parse_error_words(body), path=ask.path)
        if not ask.idempotent and not is_rate_limit:
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
            if self._operations.denied(ask.api, ask.path):
                raise OperationNotOffered(str(refusal)) from None  # the same fact, of more than one object
            raise
        except AccessRefused:
            self._operations.answered(ask.api, ask.path)
            raise
