"""What all of v2's clients do alike: parameters into a query, one request, one parser.

It must not know any operation. `v2_calls`, `v2_media` and `v2_me` are built on it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from cffs.callfire.response_checks import NotFoundMeans
from cffs.callfire.transport import Transport
from cffs.core.api_v2 import parse_document, parse_page
from cffs.core.errors import ActUncertain, MalformedAnswer
from cffs.core.source import Api
from cffs.core.values import Item, Page

Parameter = str | int | bool | None


def query_of(**parameters: Parameter) -> dict[str, str]:
    """The query of an operation: None is not sent, booleans in JSON's spelling."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in parameters.items()
        if value is not None
    }


@contextmanager
def answer_to(act: str) -> Iterator[None]:
    """Around the parsing of an act's answer: one that cannot be read says that it happened, and not what came of it."""
    try:
        yield
    except MalformedAnswer as error:
        raise ActUncertain(act, str(error)) from error


class V2Base:
    """The base of v2's clients. No state but the transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def _page(
        self,
        segments: tuple[str, ...],
        parse_item: Callable[[object], Item],
        *,
        query: Mapping[str, str],
        as_account: bool = False,
    ) -> Page[Item]:
        """One page of a listing; a 404 says that the origin has no such listing."""
        answer = await self._transport.get(
            Api.V2, segments, query=query, as_account=as_account, not_found=NotFoundMeans.OPERATION
        )
        return parse_page(answer.body, parse_item, what="/".join(segments))

    async def _document(
        self,
        segments: tuple[str, ...],
        *,
        query: Mapping[str, str],
        as_account: bool = False,
        own_endpoint: bool = False,
    ) -> Mapping[str, object]:
        """One object, by a path of its own."""
        answer = await self._transport.get(
            Api.V2, segments, query=query, as_account=as_account, own_endpoint=own_endpoint
        )
        return parse_document(answer.body, what="/".join(segments))
