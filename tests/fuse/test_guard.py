"""What surrounds every handler."""

import errno
import inspect
import logging

import pyfuse3
import pytest
import trio

from cffs.core.errors import OriginBusy, OriginFault, ReadOnlyMount, RemoteObjectMissing, ServerFailure, StaleHandle
from cffs.fuse.guard import CallTable, acting_handler, first_at_once, handler, patient_handler
from cffs.fuse.operations import Operations
from tests.fuse.kernel import refused

#: They answer without waiting, or nobody; pyfuse3 calls `init` and `stacktrace` itself.
UNGUARDED = {"forget", "statfs", "init", "stacktrace"}
CALLS = {name for name, _ in inspect.getmembers(pyfuse3.Operations, inspect.isfunction) if not name.startswith("_")}
OVERRIDDEN = CALLS - {"init", "stacktrace"}


class Subject:
    """A class with handlers that do as they are told."""

    def __init__(self, budget_seconds: float = 15.0, limit_seconds: float | None = None) -> None:
        self.calls = CallTable(budget_seconds=budget_seconds, limit_seconds=limit_seconds)

    def subject_of(self, number: int) -> str:
        return f"inode {number}"

    def subject_of_handle(self, number: int) -> str:
        return f"handle {number}"

    @handler
    async def getattr(self, inode: int, failure: BaseException | None = None, *, seconds: float = 0.0) -> str:
        await trio.sleep(seconds)
        if failure is not None:
            raise failure
        return "done"

    @handler
    async def read(self, fh: int) -> None:
        await trio.sleep_forever()

    @acting_handler
    async def mkdir(self, parent_inode: int) -> None:
        await trio.sleep_forever()

    @patient_handler
    async def flush(self, fh: int, *, seconds: float = float("inf")) -> str:
        await trio.sleep(seconds)
        return "closed"


@pytest.mark.parametrize("name", sorted(OVERRIDDEN))
def test_every_call_of_the_kernel_is_answered_on_purpose(name):
    """No call falls through to pyfuse3's default, which is ENOSYS."""
    assert getattr(Operations, name) is not getattr(pyfuse3.Operations, name)


@pytest.mark.parametrize("name", sorted(OVERRIDDEN - UNGUARDED))
def test_every_handler_is_guarded(name):
    """A handler that raises anything but FUSEError would end the mount, so each is wrapped."""
    assert getattr(getattr(Operations, name), "is_guarded", False)


async def test_an_answer_passes(autojump_clock):
    """What a handler returns is what the kernel gets."""
    subject = Subject()
    assert await subject.getattr(7) == "done"
    assert subject.calls.waiting() == []


async def test_one_of_our_exceptions_is_its_errno(autojump_clock, caplog):
    """A refusal is an errno and no log line; the service's fault is an errno and one line that says why."""
    subject = Subject()
    for failure, expected in ((RemoteObjectMissing("a"), errno.ENOENT), (ReadOnlyMount("b"), errno.EROFS)):
        with refused(expected):
            await subject.getattr(7, failure)
    assert caplog.records == []
    with refused(errno.EIO):
        await subject.getattr(7, ServerFailure(503, "the recording"))
    (line,) = caplog.records
    assert (line.levelno, "503" in line.getMessage(), "inode 7" in line.getMessage()) == (logging.WARNING, True, True)
    assert subject.calls.bugs == 0


async def test_a_service_that_is_down_is_one_line(autojump_clock, caplog):
    """While an API fails as a whole, the first call that fails with it has a line and the others have none; those of
    the other API do, and afterwards one line says how many there were."""
    caplog.set_level(logging.INFO)
    failing: list[str] = []
    subject = Subject()
    subject.calls = CallTable(budget_seconds=15.0, failing=lambda: failing)

    async def fails(failure: OriginFault) -> None:
        with refused(errno.EIO):
            await subject.getattr(7, failure)

    await fails(ServerFailure(503, "GET v2:a"))
    failing.append("v2")
    for name in "bcd":
        await fails(ServerFailure(503, f"GET v2:{name}"))
        await fails(OriginBusy(5.0))
    await fails(ServerFailure(500, "GET v1:e"))
    failing.clear()
    await fails(ServerFailure(500, "GET v2:f"))
    said = [record.getMessage() for record in caplog.records]
    assert all(text in line for text, line in zip(("v2:a", "v2:b", "count=5", "v1:e", "v2:f"), said, strict=True))


async def test_a_bug_is_eio_counted_and_logged(autojump_clock, caplog):
    """Anything unforeseen is EIO with its traceback in the log; the mount lives on."""
    subject = Subject()
    for failure in (RuntimeError("oops"), KeyError("k"), ExceptionGroup("g", [OriginFault("x")]), AssertionError()):
        with refused(errno.EIO):
            await subject.getattr(7, failure)
    assert subject.calls.bugs == 4
    assert [(line.levelno, bool(line.exc_info)) for line in caplog.records] == [(logging.ERROR, True)] * 4
    assert subject.calls.waiting() == []
    assert await subject.getattr(7) == "done"


async def test_the_deadline_is_exactly_the_budget(autojump_clock):
    """A handler that hangs ends with ETIMEDOUT when its budget does, not before and not after."""
    subject = Subject(budget_seconds=15.0)
    started = trio.current_time()
    with refused(errno.ETIMEDOUT):
        await subject.getattr(7, seconds=15.001)
    assert trio.current_time() - started == pytest.approx(15.0)
    assert await subject.getattr(7, seconds=14.999) == "done"
    assert subject.calls.bugs == 0


async def test_cancellation_passes(autojump_clock):
    """The end of the mount ends a handler as a cancellation: no errno, no bug, nothing left in flight."""
    subject = Subject()
    with trio.move_on_after(1) as scope:
        await subject.getattr(7, seconds=10)
    assert scope.cancelled_caught
    assert (subject.calls.bugs, subject.calls.waiting()) == (0, [])


async def test_interrupts_pass(autojump_clock):
    """What is no Exception is not ours to swallow."""
    subject = Subject()
    with pytest.raises(KeyboardInterrupt):
        await subject.getattr(7, KeyboardInterrupt())
    assert subject.calls.waiting() == []


async def test_calls_in_flight(autojump_clock):
    """The table holds every unanswered call, oldest first, and says what each is about: an inode is no handle."""
    subject = Subject()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subject.read, 1)
        await trio.sleep(2)
        nursery.start_soon(lambda: subject.getattr(1, seconds=100))
        await trio.sleep(1)
        waiting = subject.calls.waiting()
        assert [(call.operation, call.subject) for call in waiting] == [("read", "handle 1"), ("getattr", "inode 1")]
        now = trio.current_time()
        assert [now - call.started_at for call in waiting] == pytest.approx([3, 1])
        nursery.cancel_scope.cancel()
    assert subject.calls.waiting() == []


async def test_an_act_has_twice_the_budget(autojump_clock):
    """The kernel asks an act once, so it has all of the promised time; what became of it then is not known: EIO."""
    subject = Subject(budget_seconds=15)
    begun_at = trio.current_time()
    with refused(errno.EIO):
        await subject.mkdir(1)
    assert trio.current_time() - begun_at == pytest.approx(30)
    assert subject.calls.bugs == 0


async def test_a_close_has_all_the_time_it_needs(autojump_clock):
    """A close lasts as long as bytes move; only the kernel's own limit on a request ends it."""
    assert await Subject().flush(1, seconds=3600) == "closed"
    begun_at = trio.current_time()
    with refused(errno.EIO):
        await Subject(limit_seconds=60).flush(1)
    assert trio.current_time() - begun_at == pytest.approx(60)


class Shelf:
    """READs of what is at hand (even numbers), of what is fetched, and of what makes the quick way raise (7, 9)."""

    def __init__(self) -> None:
        self.calls = CallTable(budget_seconds=15.0)
        self.looks = 0

    def subject_of(self, number: int) -> str:
        return f"inode {number}"

    subject_of_handle = subject_of

    def _at_once(self, fh: int, off: int, size: int) -> bytes | None:
        self.looks += 1
        assert self.calls.waiting() == []
        if fh in (7, 9):
            raise ZeroDivisionError if fh == 7 else StaleHandle("9")
        return None if fh % 2 else bytes(size)

    @first_at_once(_at_once)
    async def read(self, fh: int, off: int, size: int) -> bytes:
        assert [call.operation for call in self.calls.waiting()] == ["read"]
        await trio.lowlevel.checkpoint()
        return b"fetched"


@pytest.mark.parametrize(("fh", "answer"), [(2, bytes(3)), (3, b"fetched")])
async def test_what_is_at_hand_needs_no_guard(autojump_clock, fh, answer):
    """A READ is looked for once, and is a call in flight only where it has to wait; nothing found is no end of file."""
    shelf = Shelf()
    assert await shelf.read(fh, 0, 3) == answer
    assert (shelf.looks, shelf.calls.waiting()) == (1, [])


@pytest.mark.parametrize(("fh", "code", "bugs"), [(7, errno.EIO, 1), (9, errno.ESTALE, 0)])
async def test_what_the_quick_way_raises_is_told_as_of_a_handler(autojump_clock, fh, code, bugs):
    """One of our exceptions is its errno, anything else a bug: EIO, counted; the handler is not asked again."""
    shelf = Shelf()
    with refused(code):
        await shelf.read(fh, 0, 3)
    assert shelf.calls.bugs == bugs
