"""What the reader needs of the service: one way to open a range of an object.

It owns no request: `callfire/transport` implements it over HTTP, tests over a simulated link. It must not know HTTP.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cffs.callfire.response_checks import Pinned
from cffs.core.byte_range import ByteRange
from cffs.core.source import Api, Source


class Answer(Protocol):
    """One answer whose head was checked.

    `start` is the object's offset of the first body byte; `stop` is where the body will end, or None where only its end
    shows that. `answered_ms` is when it was sent, as far as the service says. `waited_seconds` is how long the opener
    waited before it asked the origin, None where the bytes are not the origin's: they say nothing about the link.
    """

    start: int
    stop: int | None
    total: int | None
    validator: str | None
    last_modified_ns: int | None
    answered_ms: int | None
    waited_seconds: float | None

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive at least one byte of the body; 0 only at its verified end. Raises CffsError."""
        ...

    def publish(self) -> None:
        """Let other machines have what it brings, once it has ended well: the bytes may be kept. May be called more
        than once. Never a checkpoint."""
        ...


class RangeOpener(Protocol):
    """Opens answers. Heads are retried inside; a failure in a body is the caller's."""

    def open_range(
        self, source: Source, byte_range: ByteRange | None, *, pinned: Pinned | None = None
    ) -> AbstractAsyncContextManager[Answer]:
        """Request `byte_range`, or all without a Range header.

        Raises RemoteObjectChanged when the answer is not of the version `pinned`, VersionUnclear when only its
        validator is another, RangeNotSatisfiable, and the rest of CffsError.
        """
        ...

    async def warm(self, api: Api, *, connections: int) -> None:
        """Connect ahead of need, to have that many connections idle; requests nothing. Never raises unless
        cancelled."""
        ...
