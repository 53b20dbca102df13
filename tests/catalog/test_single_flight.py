"""Single flight in virtual time: one request, outliving its callers, and memory."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from cffs.catalog.single_flight import (
    FAILURE_SECONDS,
    LOOKUP_PATIENCE_SECONDS,
    MAX_PENDING,
    MISSING_SECONDS,
    STUCK_PATIENCE_SECONDS,
    STUCK_SECONDS,
    SingleFlight,
)
from cffs.core import demand
from cffs.core.errors import (
    AccessRefused,
    CffsError,
    DeadlineExceeded,
    OriginFault,
    OriginUnreachable,
    RemoteObjectMissing,
    ServerFailure,
)
from cffs.core.source import Api
from cffs.daemon.background import NurseryBackground
from tests.catalog.factories import CountingBackground, failure_of

PATIENCE = LOOKUP_PATIENCE_SECONDS
TIMEOUT = 15.0


@dataclass
class Origin:
    """A service that takes its time: `delay`, then `outcome`."""

    delay: float = 0.0
    outcome: BaseException | None = None
    asked: list[float] = field(default_factory=list)
    answered: int = 0

    async def __call__(self) -> None:
        self.asked.append(trio.current_time())
        await trio.sleep(self.delay)
        if self.outcome is not None:
            raise self.outcome
        self.answered += 1


@pytest.fixture
async def single_flight(background: CountingBackground) -> SingleFlight:
    """Requests to two APIs that are not known to be offline."""
    return make(background)


def make(background: NurseryBackground, offline: Callable[[Api], bool] = lambda api: False) -> SingleFlight:
    return SingleFlight(background, timeout_seconds=TIMEOUT, is_offline=offline)


async def ask(
    single_flight: SingleFlight,
    origin: Callable[[], Awaitable[None]],
    key: Any = "k",
    api: Api = Api.V2,
    patience: Any = PATIENCE,
) -> None:
    await single_flight.ask(key, api, origin, patience_seconds=patience)


async def test_asked_once_however_many_ask(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """A hundred callers of one key cost one request, and all of them have its answer."""
    origin = Origin(delay=0.5)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask, single_flight, origin)
    assert (len(origin.asked), origin.answered) == (1, 1)
    await ask(single_flight, origin)
    assert len(origin.asked) == 2  # it answered: the rows tell the rest, nothing is remembered here


async def test_one_failure_for_all_who_wait(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """All callers that wait for a request get its failure; the next caller asks again."""
    origin = Origin(delay=0.5, outcome=ServerFailure(500, "x"))
    outcomes: list[CffsError | None] = []

    async def note() -> None:
        outcomes.append(await failure_of(ask(single_flight, origin)))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(note)
    assert [type(outcome) for outcome in outcomes] == [ServerFailure] * 5
    assert isinstance(await failure_of(ask(single_flight, origin)), ServerFailure)
    assert len(origin.asked) == 2


async def test_patience(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """A lookup waits two seconds for a slow service and no longer; the question goes on and is there for the next."""
    origin = Origin(delay=5)
    began = trio.current_time()
    assert isinstance(await failure_of(ask(single_flight, origin)), DeadlineExceeded)
    assert trio.current_time() - began == pytest.approx(PATIENCE)
    await trio.sleep(5)
    assert (len(origin.asked), origin.answered) == (1, 1)


async def test_no_patience_asked_for(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """Without a lookup's patience the caller waits as long as the question may take."""
    origin = Origin(delay=TIMEOUT - 1)
    await ask(single_flight, origin, patience=None)
    assert origin.answered == 1


async def test_question_ends(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """A question that is never answered ends at the timeout, for those who wait and for the table."""
    origin = Origin(delay=1e9)
    began = trio.current_time()
    assert isinstance(await failure_of(ask(single_flight, origin, patience=None)), DeadlineExceeded)
    assert trio.current_time() - began == pytest.approx(TIMEOUT)
    origin.delay = 0
    await ask(single_flight, origin)


async def test_stuck_api_costs_no_wait(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """Once a question to an API is unanswered for a second, lookups that ask the same API answer at once, and their
    requests are sent all the same; the other API is not disturbed."""
    slow, other, foreign = Origin(delay=10), Origin(delay=0.1), Origin(delay=0.1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(failure_of, ask(single_flight, slow, "slow"))
        await trio.sleep(STUCK_SECONDS - 0.2)
        await ask(single_flight, other, "early")  # not yet stuck: it is waited for
        await trio.sleep(0.5)
        began = trio.current_time()
        assert isinstance(await failure_of(ask(single_flight, other, "late")), DeadlineExceeded)
        assert trio.current_time() == began
        await ask(single_flight, foreign, "elsewhere", Api.V1)
        await trio.sleep(0.2)
    assert (other.answered, foreign.answered) == (2, 1)


async def test_patience_beside_a_hanging_question(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """A lookup that must be answered (of a name that may be about to be created) has half a second beside a question
    that hangs, which a healthy answer makes; two seconds where none hangs, or only the other API's does."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(failure_of, ask(single_flight, Origin(delay=10), "slow"))
        await trio.sleep(STUCK_SECONDS - 0.1)
        assert single_flight.patience_seconds(Api.V2) == LOOKUP_PATIENCE_SECONDS
        await trio.sleep(0.2)
        assert single_flight.patience_seconds(Api.V2) == STUCK_PATIENCE_SECONDS == 0.5
        assert single_flight.patience_seconds(Api.V1) == LOOKUP_PATIENCE_SECONDS
        await trio.sleep(10)
        assert single_flight.patience_seconds(Api.V2) == LOOKUP_PATIENCE_SECONDS


async def test_three_lookups_of_a_hanging_api(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """Lookups one after the other, as the kernel asks them, cost one patience in all and not one each."""
    origin = Origin(delay=1e9)
    began = trio.current_time()
    for key in range(5):
        assert isinstance(await failure_of(ask(single_flight, origin, key)), DeadlineExceeded)
    assert trio.current_time() - began == pytest.approx(PATIENCE)


async def test_offline_is_reported(background: CountingBackground, autojump_clock: MockClock) -> None:
    """Where an API is known to be offline, a lookup that waited in vain says so, and that is not remembered."""
    offline = True
    single_flight = make(background, lambda api: offline and api is Api.V1)
    origin = Origin(delay=4)
    assert isinstance(await failure_of(ask(single_flight, origin, api=Api.V1)), OriginUnreachable)
    assert isinstance(await failure_of(ask(single_flight, origin, "other")), DeadlineExceeded)
    offline = False
    await trio.sleep(5)
    await ask(single_flight, Origin(), api=Api.V1)


async def test_missing_is_remembered(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """A denial is believed for 30 s without a request, then asked for again."""
    origin = Origin(outcome=RemoteObjectMissing("k"))
    began = trio.current_time()
    while trio.current_time() < began + MISSING_SECONDS:
        assert isinstance(await failure_of(ask(single_flight, origin)), RemoteObjectMissing)
        await trio.sleep(1)
    assert len(origin.asked) == 1
    origin.outcome = None
    await trio.sleep(0.1)
    await ask(single_flight, origin)
    assert origin.answered == 1


async def test_forgotten_at_once(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """What the mount itself changed is asked for at once, whatever was remembered."""
    origin = Origin(outcome=RemoteObjectMissing("k"))
    await failure_of(ask(single_flight, origin))
    origin.outcome = None
    single_flight.forget("k")
    await ask(single_flight, origin)
    assert origin.answered == 1


async def test_missing_found_after_the_asker_left(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """A `missing` that came late is there for the next lookup, without a request."""
    origin = Origin(delay=5, outcome=RemoteObjectMissing("k"))
    await failure_of(ask(single_flight, origin))
    await trio.sleep(6)
    assert isinstance(await failure_of(ask(single_flight, origin)), RemoteObjectMissing)
    assert len(origin.asked) == 1


@pytest.mark.parametrize(
    "fault", [ServerFailure(503, "x"), AccessRefused("x"), OriginUnreachable("x"), DeadlineExceeded("x")]
)
async def test_passing_faults_are_not_kept(
    autojump_clock: MockClock, single_flight: SingleFlight, fault: CffsError
) -> None:
    """A passing fault reaches its waiting callers or the next caller, and is never kept longer than 5 s."""
    origin = Origin(delay=3, outcome=fault)
    assert isinstance(await failure_of(ask(single_flight, origin)), DeadlineExceeded)
    await trio.sleep(1.5)
    assert await failure_of(ask(single_flight, origin)) is fault  # the answer that the caller left behind
    assert len(origin.asked) == 1
    origin.outcome = None
    origin.delay = 0
    await ask(single_flight, origin)

    origin.delay, origin.outcome = 3, fault
    await failure_of(ask(single_flight, origin))
    await trio.sleep(1 + FAILURE_SECONDS + 0.1)
    origin.delay, origin.outcome = 0, None
    await ask(single_flight, origin)
    assert FAILURE_SECONDS < 5


async def test_cancelled_caller_does_not_end_the_question(
    autojump_clock: MockClock, single_flight: SingleFlight
) -> None:
    """A caller that is cancelled leaves the question to the others and to the future."""
    origin = Origin(delay=1)
    with trio.move_on_after(0.5):
        await ask(single_flight, origin)
    await ask(single_flight, origin)
    assert (len(origin.asked), origin.answered) == (1, 1)


async def test_bug_is_no_answer(
    autojump_clock: MockClock, single_flight: SingleFlight, background: CountingBackground, announced: list[str]
) -> None:
    """A bug in a request is a fault for its callers, is logged with its traceback, and closes nothing."""
    announced.append("bug in background")
    origin = Origin(outcome=ZeroDivisionError())
    assert isinstance(await failure_of(ask(single_flight, origin)), OriginFault)
    assert background.bugs == 1
    origin.outcome = None
    await ask(single_flight, origin)


async def test_bounded(autojump_clock: MockClock, single_flight: SingleFlight) -> None:
    """At most MAX_PENDING single_flight are under way: one more is refused at once, and none is lost thereby."""
    origin = Origin(delay=0.5)
    async with trio.open_nursery() as nursery:
        for key in range(MAX_PENDING):
            nursery.start_soon(failure_of, ask(single_flight, origin, key))
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        assert isinstance(await failure_of(ask(single_flight, origin, "more", patience=None)), DeadlineExceeded)
        assert trio.current_time() == began
        await ask(single_flight, origin, 0)  # joining one that is under way is no new question
    assert len(origin.asked) == origin.answered == MAX_PENDING
    await ask(single_flight, origin, "more")


outcomes = st.sampled_from([None, RemoteObjectMissing("m"), ServerFailure(500, "s"), OriginUnreachable("u")])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 20),  # when
            st.integers(0, 2),  # key
            st.sampled_from([Api.V1, Api.V2]),
            st.sampled_from([PATIENCE, None]),
            st.floats(0, 20),  # delay of the service if asked now
            outcomes,
            st.floats(0.1, 40),  # when this caller is cancelled
        ),
        max_size=25,
    )
)
def test_any_traffic(script: list[tuple[Any, ...]]) -> None:
    """Whatever callers ask, and when they leave: no lookup waits longer than its patience, no key has two requests at
    once, a missing key is not asked for again within 30 s, and every caller gets an outcome that was real."""
    trio.run(_traffic, script, clock=MockClock(autojump_threshold=0))


async def _traffic(script: list[tuple[Any, ...]]) -> None:
    running: dict[Any, int] = {}
    missing_until: dict[Any, float] = {}
    async with trio.open_nursery() as nursery:
        single_flight = make(NurseryBackground(nursery))

        async def caller(
            when: float, key: int, api: Api, patience: Any, delay: float, outcome: Any, leave: float
        ) -> None:
            await trio.sleep(when)
            ident = (api, key)

            async def question() -> None:
                assert trio.current_time() >= missing_until.get(ident, 0.0)
                running[ident] = running.get(ident, 0) + 1
                assert running[ident] == 1
                try:
                    await trio.sleep(delay)
                    if isinstance(outcome, RemoteObjectMissing):
                        missing_until[ident] = trio.current_time() + MISSING_SECONDS
                    if outcome is not None:
                        raise outcome
                finally:
                    running[ident] -= 1

            began = trio.current_time()
            with trio.move_on_after(leave):
                try:
                    await single_flight.ask(ident, api, question, patience_seconds=patience)
                except (RemoteObjectMissing, ServerFailure, OriginUnreachable, DeadlineExceeded):
                    pass
            assert trio.current_time() - began <= (TIMEOUT if patience is None else patience) + 1e-6

        async with trio.open_nursery() as callers:
            for line in script:
                callers.start_soon(caller, *line)
        await trio.sleep(TIMEOUT + 1)
        assert not single_flight._pending
        nursery.cancel_scope.cancel()


async def test_a_question_is_demand_while_somebody_waits(
    autojump_clock: MockClock, single_flight: SingleFlight
) -> None:
    """Begun ahead of need, it is none until a caller waits; a caller that works ahead of need makes none of it."""
    works_for: list[demand.IsAwaited] = []
    seen: list[bool] = []

    async def question() -> None:
        works_for.append(demand.current())
        await trio.sleep(2)

    def look() -> None:
        seen.append(works_for[0]())

    async def ask(is_awaited: demand.IsAwaited) -> None:
        demand.begin(is_awaited)
        await single_flight.ask("key", Api.V2, question, patience_seconds=None)

    async def give_up() -> None:
        with pytest.raises(DeadlineExceeded):
            await single_flight.ask("key", Api.V2, question, patience_seconds=0.5)

    single_flight.begin("key", Api.V2, question)
    async with trio.open_nursery() as nursery:
        await trio.sleep(0.1)
        look()
        nursery.start_soon(ask, demand.never)
        await trio.sleep(0.1)
        look()
        nursery.start_soon(give_up)
        await trio.sleep(0.1)
        look()
        await trio.sleep(0.5)
        look()
        nursery.start_soon(single_flight.join, "key")
        await trio.sleep(0.1)
        look()
    assert seen == [False, False, True, False, True]
