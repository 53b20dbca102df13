"""Wrappers around handlers: what they hand on, and what they add."""

import pyfuse3
import pytest

from cffs.fuse.handlers import CALLS, Handlers, WrappedHandlers


class Answering(Handlers):
    """Handlers that answer each call with its name."""

    def __init__(self) -> None:
        for name in CALLS:
            setattr(self, name, self._answering(name))

    def _answering(self, name: str):
        async def answer(*arguments: object) -> object:
            return name, *arguments

        return answer

    def try_read(self, fh: int, off: int, size: int) -> bytes | None:
        return b"at hand"

    def describe_inode(self, number: int) -> str:
        return f"the node {number}"


class Louder(WrappedHandlers):
    """Adds to one call."""

    async def open(self, inode: int, flags: pyfuse3.FlagT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        return "louder", await self._inner.open(inode, flags, ctx)


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_a_wrapper_hands_every_call_on(name):
    """What a wrapper does not override reaches the inner handlers, with its arguments; what it does, through it."""
    answer = await getattr(Louder(Answering()), name)(1, 2, 3)
    assert answer == (("louder", ("open", 1, 2, 3)) if name == "open" else (name, 1, 2, 3))


async def test_a_wrapper_hands_on_what_the_guard_asks_besides():
    """READs from memory and the words for a call's subject come from the inner handlers, also through two wrappers."""
    twice = Louder(Louder(Answering()))
    assert twice.try_read(1, 0, 7) == b"at hand"
    assert (twice.describe_inode(4), twice.describe_handle(4)) == ("the node 4", "handle 4")
    assert await twice.open(1, 0, None) == ("louder", ("louder", ("open", 1, 0, None)))
