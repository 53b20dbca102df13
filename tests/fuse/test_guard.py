"""The guard around every handler."""

import errno
import inspect
import logging

import pyfuse3
import pytest
import trio

from cffs.core.errors import OriginBusy, OriginFault, ReadOnlyMount, RemoteObjectMissing, ServerFailure, StaleHandle
from cffs.fuse.guard import KINDS, CallTable, GuardedOperations
from cffs.fuse.handlers import CALLS, Handlers
from cffs.fuse.operations import Operations
from tests.fuse.kernel import refused


class Obedient(Handlers):
    """Handlers that wait, raise or answer as their arguments say."""

    async def getattr(self, inode: int, failure: BaseException | None = None, seconds: float = 0.0) -> str:
        await trio.sleep(seconds)
        if failure is not None:
            raise failure
        return "done"

    async def readdir(self, fh: int) -> None:
        await trio.sleep_forever()

    async def mkdir(self, parent_inode: int) -> None:
        await trio.sleep_forever()

    async def flush(self, fh: int, seconds: float = float("inf")) -> str:
        await trio.sleep(seconds)
        return "closed"

    def describe_inode(self, number: int) -> str:
        return f"inode {number}"


class Subject(GuardedOperations):
    """Those handlers within their guards."""

    def __init__(self, calls: CallTable | None = None) -> None:
        self.calls = calls or CallTable(budget_seconds=15.0)
        super().__init__(Obedient(), self.calls)


def test_every_call_has_one_guard():
    """Each call of the kernel is guarded: an exception of any other handler would end the mount."""
    assert KINDS.keys() == CALLS


@pytest.mark.parametrize("name", sorted(CALLS))
def test_every_call_of_the_kernel_is_answered_on_purpose(name):
    """No call falls through to pyfuse3's default, which is ENOSYS."""
    assert getattr(Operations, name) is not getattr(pyfuse3.Operations, name)


@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"forget"}))
async def test_a_bug_in_any_handler_ends_one_call(autojump_clock, caplog, name):
    """A handler that raises anything but FUSEError would end the mount; whichever does, its caller gets EIO."""

    async def fails(*_arguments: object) -> None:
        raise RuntimeError("a bug")

    handlers, calls = Handlers(), CallTable(budget_seconds=15.0)
    setattr(handlers, name, fails)
    operations = GuardedOperations(handlers, calls)
    parameters = inspect.signature(getattr(pyfuse3.Operations, name)).parameters
    with refused(errno.EIO):
        await getattr(operations, name)(*range(1, len(parameters)))
    assert (calls.bugs, calls.waiting()) == (1, [])


async def test_a_bug_in_forget_is_counted_and_has_no_errno(autojump_clock, caplog):
    """The kernel expects no answer to FORGET: what its handler raises is a bug in the log, and no exception."""

    async def fails(*_arguments: object) -> None:
        raise RuntimeError("a bug")

    handlers, calls = Obedient(), CallTable(budget_seconds=15.0)
    handlers.forget = fails
    operations = GuardedOperations(handlers, calls)
    assert await operations.forget([(7, 1), (8, 2)]) is None
    assert await operations.forget([]) is None
    assert (calls.bugs, calls.waiting()) == (2, [])
    assert "inode 7" in caplog.records[0].getMessage()


async def test_an_answer_passes(autojump_clock):
    """What a handler returns is what the kernel gets."""
    subject = Subject()
    assert await subject.getattr(7) == "done"
    assert subject.calls.waiting() == []


async def test_one_of_our_exceptions_is_its_errno(autojump_clock, caplog):
    """A refusal is an errno and no log line. A fault of the service is an errno and one line that says why."""
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
    """While an API fails as a whole, the first call that fails with it has a log line, and the others have none.
    Failures of the other API do have one, and afterwards one line says how many there were."""
    caplog.set_level(logging.INFO)
    failing: list[str] = []
    subject = Subject(CallTable(budget_seconds=15.0, failing=lambda: failing))

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
    subject = Subject()
    started = trio.current_time()
    with refused(errno.ETIMEDOUT):
        await subject.getattr(7, None, 15.001)
    assert trio.current_time() - started == pytest.approx(15.0)
    assert await subject.getattr(7, None, 14.999) == "done"
    assert subject.calls.bugs == 0


async def test_cancellation_passes(autojump_clock):
    """The end of the mount ends a handler as a cancellation: no errno, no bug, nothing left in flight."""
    subject = Subject()
    with trio.move_on_after(1) as scope:
        await subject.getattr(7, None, 10)
    assert scope.cancelled_caught
    assert (subject.calls.bugs, subject.calls.waiting()) == (0, [])


async def test_interrupts_pass(autojump_clock):
    """What is no Exception passes through the guard."""
    subject = Subject()
    with pytest.raises(KeyboardInterrupt):
        await subject.getattr(7, KeyboardInterrupt())
    assert subject.calls.waiting() == []


async def test_calls_in_flight(autojump_clock):
    """The table holds every unanswered call, oldest first, and says what each is about: an inode is no handle."""
    subject = Subject()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subject.readdir, 1)
        await trio.sleep(2)
        nursery.start_soon(lambda: subject.getattr(1, None, 100))
        await trio.sleep(1)
        waiting = subject.calls.waiting()
        assert [(call.operation, call.subject) for call in waiting] == [("readdir", "handle 1"), ("getattr", "inode 1")]
        now = trio.current_time()
        assert [now - call.started_at for call in waiting] == pytest.approx([3, 1])
        nursery.cancel_scope.cancel()
    assert subject.calls.waiting() == []


async def test_an_act_has_twice_the_budget(autojump_clock):
    """The kernel makes a call that changes something only once, so it has all of the promised time. When that ends, the
    result is not known: EIO."""
    subject = Subject()
    begun_at = trio.current_time()
    with refused(errno.EIO):
        await subject.mkdir(1)
    assert trio.current_time() - begun_at == pytest.approx(30)
    assert subject.calls.bugs == 0


async def test_a_close_has_all_the_time_it_needs(autojump_clock):
    """A close lasts as long as bytes move; only the kernel's own limit on a request ends it."""
    assert await Subject().flush(1, 3600) == "closed"
    begun_at = trio.current_time()
    with refused(errno.EIO):
        await Subject(CallTable(budget_seconds=15.0, limit_seconds=60)).flush(1)
    assert trio.current_time() - begun_at == pytest.approx(60)


class Shelf(Handlers):
    """READs of what is at hand (even numbers), of what is fetched, and of what makes the fast path raise (7, 9)."""

    def __init__(self, calls: CallTable) -> None:
        self.calls = calls
        self.looks = 0

    def try_read(self, fh: int, off: int, size: int) -> bytes | None:
        self.looks += 1
        assert self.calls.waiting() == []
        if fh in (7, 9):
            raise ZeroDivisionError if fh == 7 else StaleHandle("9")
        return None if fh % 2 else bytes(size)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        assert [call.operation for call in self.calls.waiting()] == ["read"]
        await trio.lowlevel.checkpoint()
        return b"fetched"


@pytest.mark.parametrize(("fh", "answer"), [(2, bytes(3)), (3, b"fetched")])
async def test_what_is_at_hand_needs_no_guard(autojump_clock, fh, answer):
    """A READ is looked for once, and is a call in flight only where it has to wait; nothing found is no end of file."""
    calls = CallTable(budget_seconds=15.0)
    shelf = Shelf(calls)
    assert await GuardedOperations(shelf, calls).read(fh, 0, 3) == answer
    assert (shelf.looks, calls.waiting()) == (1, [])


@pytest.mark.parametrize(("fh", "code", "bugs"), [(7, errno.EIO, 1), (9, errno.ESTALE, 0)])
async def test_what_the_fast_path_raises_is_treated_as_of_a_handler(autojump_clock, caplog, fh, code, bugs):
    """One of our exceptions is its errno, anything else a bug: EIO, counted; the handler is not asked again."""
    calls = CallTable(budget_seconds=15.0)
    with refused(code):
        await GuardedOperations(Shelf(calls), calls).read(fh, 0, 3)
    assert calls.bugs == bugs
