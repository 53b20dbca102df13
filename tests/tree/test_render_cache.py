"""Long rendered files: whole, resumed by a later caller, dropped with the rows."""

import pytest
import trio
from trio.testing import MockClock

from cffs.tree.render_cache import RenderCache

PAGES = 10


class Pages:
    """Ten pages that take a second each."""

    def __init__(self, text: str = "x") -> None:
        self.asked: list[int] = []
        self._text = text

    async def step(self, place: int | None) -> tuple[bytes, int] | None:
        """The page at a position."""
        number = place or 0
        self.asked.append(number)
        await trio.sleep(1)
        return None if number == PAGES else (f"{self._text}{number} ".encode(), number + 1)


async def test_whole(autojump_clock: MockClock) -> None:
    """Every page is made once, in order; asked for again in that state nothing is made, and the size is known."""
    renderings, pages = RenderCache(), Pages()
    body = await renderings.render("a", pages.step, state=1)
    assert body == b"".join(f"x{number} ".encode() for number in range(PAGES))
    assert await renderings.render("a", pages.step, state=1) == body
    assert pages.asked == list(range(PAGES + 1))
    assert renderings.nbytes("a", state=1) == len(body)
    assert renderings.nbytes("a", state=2) is None
    assert renderings.nbytes("b", state=1) is None


async def test_resumed(autojump_clock: MockClock) -> None:
    """Readers whose time is up again and again get all of it in the end; no page is made twice."""
    renderings, pages = RenderCache(), Pages()
    body = None
    for _ in range(20):
        with trio.move_on_after(2.5):
            body = await renderings.render("a", pages.step, state=1)
            break
    assert body is not None
    assert body == await RenderCache().render("a", Pages().step, state=1)
    assert sorted(set(pages.asked)) == list(range(PAGES + 1))
    assert len(pages.asked) <= 2 * (PAGES + 1)


@pytest.mark.parametrize(("key", "state"), [("a", 2), ("b", 1)])
async def test_begun_again(key: str, state: int, autojump_clock: MockClock) -> None:
    """Another state of the rows, or another file, shares no page."""
    renderings = RenderCache()
    with trio.move_on_after(4.5):
        await renderings.render("a", Pages("old").step, state=1)
    assert b"old" not in await renderings.render(key, Pages("new").step, state=state)


async def test_together(autojump_clock: MockClock) -> None:
    """Many callers at once share one rendering."""
    renderings, pages = RenderCache(), Pages()
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(lambda: renderings.render("a", pages.step, state=1))
    assert pages.asked == list(range(PAGES + 1))
