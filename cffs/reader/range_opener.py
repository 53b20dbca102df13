"""What the reader needs of the floor below: one way to open a range of an object. `callfire/transport` has it.

It must not know HTTP. Tests put a simulated link here.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cffs.callfire.response_checks import Pinned
from cffs.core.byte_range import ByteRange
from cffs.core.source import Api, Source


class Answer(Protocol):
    """One answer whose head was checked; `start` is the object's offset of the first body byte, `stop` where the body
    will end (None: only its end tells); `answered_ms` is when this was, as far as the service tells."""

    start: int
    stop: int | None
    total: int | None
    validator: str | None
    last_modified_ns: int | None
    answered_ms: int | None

    async def receive_into(self, buffer: memoryview) -> int:
        """Receives at least one byte of the body; 0 only at its verified end. Raises CffsError."""
        ...


class RangeOpener(Protocol):
    """Opens answers. Heads are retried inside; what fails in a body is the caller's."""

    def open_range(
        self, source: Source, byte_range: ByteRange | None, *, pinned: Pinned | None = None
    ) -> AbstractAsyncContextManager[Answer]:
        """Asks for `byte_range`, or all without a Range header. Raises RemoteObjectChanged when the answer is not of
        the version `pinned`, VersionUnclear when its validator alone is another, RangeNotSatisfiable, and the rest of
        CffsError."""
        ...

    async def warm(self, api: Api, *, connections: int) -> None:
        """Connects ahead of need, to have so many idle; asks nothing. Never raises but when cancelled."""
        ...
