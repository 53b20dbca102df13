"""The mount's one nursery."""

import logging

import pytest
import trio

from cffs.daemon.background import open_background


async def test_a_failing_task_ends_nobody_else(autojump_clock, caplog):
    """A bug in one task is counted and logged with its traceback; the other tasks and the block go on."""
    done = []

    async def fails(error: Exception) -> None:
        raise error

    async def works(name: str) -> None:
        await trio.sleep(5)
        done.append(name)

    async with open_background() as background:
        background.start(works, "one")
        background.start(fails, RuntimeError("oops"))
        background.start(fails, ExceptionGroup("g", [KeyError("k")]))
        background.start(works, "two")
        await trio.sleep(10)
        assert sorted(done) == ["one", "two"]
        assert background.bugs == 2
    assert [(line.levelno, bool(line.exc_info)) for line in caplog.records] == [(logging.ERROR, True)] * 2
    assert "fails" in caplog.records[0].getMessage()


async def test_tasks_end_with_the_block(autojump_clock):
    """At the end of the block every task is cancelled, which is no bug."""
    ended = []

    async def forever() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(True)

    async with open_background() as background:
        background.start(forever)
        await trio.sleep(1)
    assert ended == [True]
    assert background.bugs == 0


async def test_what_stops_the_block_passes(autojump_clock):
    """An exception of the block itself is raised (in the nursery's group), and the tasks are gone."""
    with pytest.raises(ExceptionGroup) as raised:
        async with open_background() as background:
            background.start(trio.sleep_forever)
            raise ValueError("no")
    assert isinstance(raised.value.exceptions[0], ValueError)


async def test_start_is_no_checkpoint(autojump_clock):
    """Starting a task does not let it run yet."""
    ran = []

    async def note() -> None:
        ran.append(True)

    async with open_background() as background:
        background.start(note)
        assert ran == []
        await trio.testing.wait_all_tasks_blocked()
        assert ran == [True]
