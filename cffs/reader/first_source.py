"""The rule for an object that several sources may have: the first that has it.

A source that does not have the object (404, 410), or does not give it in this way (405, 501), is passed over. Any other
failure ends the search: refused credentials (401, 403) or a cut answer say nothing about the object. It must not know
what is asked of a source.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from cffs.core.errors import NOT_FROM_HERE, CffsError, RemoteObjectMissing, weightier
from cffs.core.source import Source

Found = TypeVar("Found")


async def first_of(key: str, sources: Iterable[Source], ask: Callable[[Source], Awaitable[Found]]) -> Found:
    """Return what `ask` returns for the first of `sources` that has object `key`.

    A checkpoint where `ask` is one; cancelled, what `ask` began is its own to end. Raises the error of NOT_FROM_HERE
    that says most (`core.errors.weightier`) where no source has the object, and what else `ask` raises.
    """
    refusal: CffsError | None = None
    for source in sources:
        try:
            return await ask(source)
        except NOT_FROM_HERE as error:
            refusal = weightier(refusal, error)
    raise refusal or RemoteObjectMissing(f"{key} has no source")
