"""`--rate`: the queue of waiting requests, and the transport, in virtual time."""

import subprocess
import sys
from dataclasses import dataclass
from math import inf

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from cffs.callfire.departure_log import DepartureLog
from cffs.callfire.rate import LocalCounter, RateQueue
from cffs.callfire.transport import Transport
from cffs.callfire.v2 import V2Client
from cffs.core import demand, errors
from cffs.core.settings_options import RequestRate, parse_rate
from cffs.core.source import Api, Source
from tests.callfire.test_departure_log import most_in_a_span

OK = {"content-type": "application/json"}
RANGE = ("calls", "recordings", "5.mp3")


def answer(document: str = '{"id": 1}', status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={**OK, **headers}, content=document.encode())


class SlowCounter:
    """A counter that takes its time, as one on another machine does."""

    def __init__(self, rate: str = "1/s") -> None:
        self.log = DepartureLog(parse_rate(rate))
        self.asked = 0
        self.under_way = 0
        self.left: list[float] = []

    async def take(self, _api: Api) -> float:
        self.asked += 1
        self.under_way += 1
        assert self.under_way == 1, "one question at a time"
        try:
            await trio.sleep(0.03)
        finally:
            self.under_way -= 1
        now = trio.current_time()
        seconds = self.log.seconds_to_wait(now)
        if not seconds:
            self.log.note(now)
            self.left.append(now)
        return seconds


def queue_of(rate: str = "1/s") -> RateQueue:
    return RateQueue(LocalCounter(parse_rate(rate)), parse_rate(rate))


# -- the queue --


@pytest.mark.parametrize("counter", [LocalCounter(parse_rate("1/s")), SlowCounter()], ids=["local", "slow"])
async def test_demand_goes_first_and_then_the_oldest(autojump_clock, counter):
    """No background request leaves while demand waits; within each kind the order is that of arrival."""
    queue, order = RateQueue(counter, parse_rate("1/s")), []

    async def ask(name: str, is_awaited) -> None:
        await queue.admit(Api.V1, is_awaited=is_awaited)
        order.append(name)

    await queue.admit(Api.V1, is_awaited=demand.always)
    async with trio.open_nursery() as nursery:
        for index in range(3):
            nursery.start_soon(ask, f"background {index}", demand.never)
            await trio.sleep(0.01)
        for index in range(3):
            nursery.start_soon(ask, f"demand {index}", demand.always)
            await trio.sleep(0.01)
    assert order == [f"{kind} {index}" for kind in ("demand", "background") for index in range(3)]


async def test_a_prefetch_that_gets_a_reader_is_demand(autojump_clock):
    """Whether somebody waits is asked at each turn: a promoted request overtakes the other background ones."""
    queue, order, wanted = queue_of(), [], set()

    async def ask(name: str) -> None:
        await queue.admit(Api.V1, is_awaited=lambda: name in wanted)
        order.append(name)

    await queue.admit(Api.V1, is_awaited=demand.always)
    async with trio.open_nursery() as nursery:
        for name in "abcd":
            nursery.start_soon(ask, name)
            await trio.sleep(0.01)
        wanted.add("d")
    assert order == ["d", "a", "b", "c"]


async def test_one_that_gets_a_reader_behind_one_that_lets_demand_pass(autojump_clock):
    """A background request that waits for demand on its way does not keep the turn from one behind it that became
    demand meanwhile."""
    queue, has_reader, left = queue_of("10/s"), False, []

    async def ask(name: str, is_awaited) -> None:
        await queue.admit(Api.V1, is_awaited=is_awaited)
        left.append(name)

    arrived = await queue.approach("limiter", is_awaited=demand.always)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "background", demand.never)
        await trio.sleep(0.01)
        nursery.start_soon(ask, "prefetch", lambda: has_reader)
        await trio.sleep(0.01)
        has_reader = True
        await trio.sleep(0.2)
        assert left == ["prefetch"]
        arrived()
    assert left == ["prefetch", "background"]


async def test_one_that_gets_a_reader_as_another_is_woken(autojump_clock):
    """Where the turn went to demand, and an older request becomes demand before that one runs, both get their turn."""
    queue, left = queue_of("1/s"), []

    async def ask(name: str, is_awaited) -> None:
        await queue.admit(Api.V1, is_awaited=is_awaited)
        left.append(name)

    await queue.admit(Api.V1, is_awaited=demand.always)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for name, is_awaited in (
                ("first", demand.always),
                ("prefetch", lambda: "first" in left),
                ("demand", demand.always),
            ):
                nursery.start_soon(ask, name, is_awaited)
                await trio.sleep(0.01)
    assert left == ["first", "prefetch", "demand"]


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_cancelled_wait_counts_nothing(autojump_clock, is_first):
    """Whichever waiter leaves, the next one leaves when it would have, and the number waiting is right."""
    queue, left = queue_of(), []
    await queue.admit(Api.V1, is_awaited=demand.always)
    began = trio.current_time()

    async def ask() -> None:
        await queue.admit(Api.V2, is_awaited=demand.always)
        left.append(trio.current_time() - began)

    async def give_up() -> None:
        with trio.move_on_after(0.5):
            await queue.admit(Api.V1, is_awaited=demand.always)
            raise AssertionError("it was not to leave")

    async with trio.open_nursery() as nursery:
        for task in (give_up, ask) if is_first else (ask, give_up):
            nursery.start_soon(task)
            await trio.sleep(0.01)
        assert queue.status().waiting == 2
        await trio.sleep(0.6)
        assert queue.status().waiting == 1
        assert queue.status().waited_seconds == pytest.approx(0.5 + 0.6, abs=0.1)
    assert left == [pytest.approx(1.045, abs=0.01)]
    assert queue.status().sent == 1
    assert queue.status().waiting == 0


async def test_one_asks_the_counter_for_all(autojump_clock):
    """With fifty waiting there is one question at a time, and about one for each that leaves."""
    counter = SlowCounter()
    queue = RateQueue(counter, parse_rate("1/s"))
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(lambda: queue.admit(Api.V1, is_awaited=demand.always))
    assert len(counter.left) == 50
    assert counter.asked <= 2 * 50


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A request: how long after the one before it comes, and after how long it gets a reader or gives up."""

    gap_seconds: float
    promoted_seconds: float
    patience_seconds: float


ARRIVALS = st.lists(
    st.builds(
        Arrival,
        gap_seconds=st.sampled_from([0.0, 0.0, 0.01, 0.3, 2.5]),
        promoted_seconds=st.sampled_from([0.0, 0.0, 0.5, inf, inf]),
        patience_seconds=st.sampled_from([0.2, 1.5, inf, inf, inf]),
    ),
    max_size=30,
)


@given(ARRIVALS, st.integers(1, 4), st.booleans())
def test_laws_of_the_queue(arrivals, requests, is_slow):
    """Whatever arrives, gets a reader or gives up when: no second holds more than the limit, no background request
    leaves while demand waits, each kind leaves in its order, and all leave that are patient."""
    rate = RequestRate(requests, 1.0)

    async def run() -> None:
        queue = RateQueue(SlowCounter(str(rate)) if is_slow else LocalCounter(rate), rate)
        waiting: dict[int, float] = {}
        left: list[tuple[float, int]] = []

        def is_demand(number: int) -> bool:
            return trio.current_time() >= waiting[number]

        async def request(number: int, arrival: Arrival) -> None:
            waiting[number] = trio.current_time() + arrival.promoted_seconds
            with trio.move_on_after(arrival.patience_seconds):
                await queue.admit(Api.V1, is_awaited=lambda: is_demand(number))
                before = [other for other in waiting if is_demand(other) >= is_demand(number) and other < number]
                overtaken = [other for other in waiting if is_demand(other) > is_demand(number)]
                if not is_slow:  # during its question a demand may come
                    assert before + overtaken == []
                left.append((trio.current_time(), number))
            del waiting[number]

        async with trio.open_nursery() as nursery:
            for number, arrival in enumerate(arrivals):
                await trio.sleep(arrival.gap_seconds)
                nursery.start_soon(request, number, arrival)
        assert queue.status().waiting == 0
        assert most_in_a_span([time for time, _ in left], 1.0) <= requests
        assert {n for n, one in enumerate(arrivals) if one.patience_seconds == inf} <= {number for _, number in left}

    trio.run(run, clock=MockClock(autojump_threshold=0))


# -- the transport --


async def ten_clients(transport: Transport, seconds: float) -> None:
    """Ask as often as answers come, by ten tasks, for that long."""

    async def client(number: int) -> None:
        while True:
            if number % 2:
                await V2Client(transport).get_account()
            else:
                async with transport.open_range(Source(Api.V1, ("files", "recording", "5")), None):
                    pass

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(client, number)


async def test_ten_clients_for_a_minute(mocked, autojump_clock):
    """Of 10/s never more, in any second, and at least 95 % used; v1 and v2 count together."""
    sent: list[float] = []

    async def handler(request):
        sent.append(trio.current_time())
        await trio.sleep(0.1)
        if "v1" in request.url.host:
            return httpx.Response(200, headers={"content-type": "audio/wav"}, content=b"RIFF" + bytes(60))
        return answer()

    async with mocked(handler, rate=parse_rate("10/s")) as transport:
        await ten_clients(transport, 60)
        status = transport.rate_status()
    assert most_in_a_span(sent, 1.0) <= 10
    assert len(sent) >= 0.95 * 600
    assert status.sent <= 10
    assert status.waited_seconds > 60


@pytest.mark.parametrize("kind", ["bodies", "metadata"])
async def test_demand_overtakes_background_work_everywhere(mocked, autojump_clock, kind):
    """Fifty background requests wait first; a demand that comes later is the next to leave, although it needs a slot
    and a connection too, and so is a background request that gets a reader."""
    sent, wanted = [], set()

    async def handler(request):
        sent.append(request.url.path.rpartition("/")[2])
        await trio.sleep(0.05)
        if "v1" in request.url.host:
            return httpx.Response(200, headers={"content-type": "audio/wav"}, content=b"RIFF" + bytes(60))
        return answer()

    async def ask(number: int, is_awaited) -> None:
        demand.begin(is_awaited)
        if kind == "metadata":
            await transport.get(Api.V2, ("calls", str(number)))
        else:
            async with transport.open_range(Source(Api.V1, ("files", "recording", str(number))), None):
                pass

    async with mocked(handler, rate=parse_rate("2/s"), timeout_seconds=90) as transport:
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, number, lambda number=number: number in wanted)
                await trio.sleep(0.001)
            await trio.sleep(5)
            status = transport.rate_status()
            assert status.waiting == 50 - len(sent)
            before = len(sent)
            for number in (100, 101, 102):
                nursery.start_soon(ask, number, demand.always)
                await trio.sleep(0.001)
            wanted.add(40)
            await trio.sleep(2.5)
            # in order of arrival: 40 came first, and shows as demand within a twentieth of a second
            assert sorted(sent[before : before + 4]) == ["100", "101", "102", "40"]
    assert sent[:before] == [str(number) for number in range(before)]
    assert sent[before + 4 :] == [str(number) for number in range(before, 50) if number != 40]


async def test_background_work_takes_nothing_from_demand_that_is_short_of_slots(mocked, autojump_clock):
    """Where answers, and not the rate, hold demand up, background work would use up what it needs a moment later."""
    sent = []

    async def handler(request):
        sent.append(request.url.host.partition(".")[0])
        await trio.sleep(0.5)
        if "v1" in request.url.host:
            return httpx.Response(200, headers={"content-type": "audio/wav"}, content=b"RIFF" + bytes(60))
        return answer()

    async def prefetch() -> None:
        demand.begin(demand.never)
        async with transport.open_range(Source(Api.V1, ("files", "recording", "5")), None):
            pass

    async with mocked(handler, rate=parse_rate("10/s")) as transport:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(transport.get, Api.V2, ("x",))
            await trio.sleep(0.01)
            for _ in range(12):
                nursery.start_soon(prefetch)
            while sent.count("v2") < 12:
                await trio.sleep(0.05)
            assert trio.current_time() - began < 2.7  # two at a time, half a second each
    assert sent == ["v2"] * 12 + ["v1"] * 12


async def test_a_background_request_that_is_cancelled_makes_way(mocked, autojump_clock):
    """One that waits for its turn, for a slot or for the rate leaves nothing behind when it ends."""
    sent = []

    def handler(request):
        sent.append(request.url.path.rpartition("/")[2])
        return answer()

    async def ask(number: int, seconds: float) -> None:
        demand.begin(demand.never)
        with trio.move_on_after(seconds):
            await transport.get(Api.V2, ("calls", str(number)))

    async with mocked(handler, rate=parse_rate("1/s")) as transport:
        async with trio.open_nursery() as nursery:
            for number, seconds in enumerate([9, 0.5, 0.7, 9, 0.2, 9]):
                nursery.start_soon(ask, number, seconds)
                await trio.sleep(0.001)
        assert transport.rate_status().waiting == 0
        assert transport.rate_status().sent <= 1
    assert sent == ["0", "3", "5"]


async def test_background_work_has_a_deadline_too(mocked, autojump_clock):
    """Demand may take all of the rate: background work ends at its own deadline, and is not sent."""

    async def ask(is_awaited, ends: list[tuple[int, bool]]) -> None:
        demand.begin(is_awaited)
        while trio.current_time() - began < 40:
            try:
                await V2Client(transport).get_account()
            except errors.DeadlineExceeded as error:
                ends.append((round(trio.current_time() - began), "--rate" in str(error)))

    async with mocked(lambda request: answer(), rate=parse_rate("1/s"), timeout_seconds=10.0) as transport:
        began, demands, backgrounds = trio.current_time(), [], []
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask, demand.always, demands)
                nursery.start_soon(ask, demand.never, backgrounds)
                await trio.sleep(0.001)
    assert demands == []
    assert len(backgrounds) == 3 * 4
    assert backgrounds == [(seconds, True) for seconds in (10, 20, 30, 40) for _ in range(3)]


async def test_every_try_and_every_hop_is_counted(mocked, autojump_clock):
    """Tries and redirects to an origin of the account wait for the rate; a host that belongs to neither does not."""
    sent: list[tuple[str, float]] = []

    def handler(request):
        sent.append((request.url.path, trio.current_time()))
        if request.url.path.endswith("account"):
            return answer("{}", 302, location="https://v1.example.com/cloud/1/there")
        if request.url.path.endswith("there"):
            return answer("{}", 302, location="https://elsewhere.example.net/x")
        return answer("{}", 503) if len(sent) < 9 else answer()

    async with mocked(handler, rate=parse_rate("1/s")) as transport:
        await V2Client(transport).get_account()
    ours = [time for path, time in sent if path != "/x"]
    assert len(ours) == 6
    assert most_in_a_span(ours, 1.0) == 1
    foreign = [time for path, time in sent if path == "/x"]
    assert foreign == pytest.approx(ours[1::2])


async def test_raw_requests_are_counted(mocked, autojump_clock):
    """A look at the origin by `cffs doctor --probe` waits for the rate too."""
    sent: list[float] = []

    def handler(request):
        sent.append(trio.current_time())
        return answer()

    async with mocked(handler, rate=parse_rate("2/s")) as transport:
        for _ in range(6):
            async with transport.raw("GET", Source(Api.V2, RANGE)):
                pass
    assert most_in_a_span(sent, 1.0) == 2


@pytest.mark.parametrize("is_act", [False, True])
async def test_the_deadline_is_kept(mocked, autojump_clock, is_act):
    """A request that the rate lets leave too late fails at its own deadline, unsent: health learns nothing."""
    sent = []

    def handler(request):
        sent.append(trio.current_time())
        return answer()

    async with mocked(handler, rate=parse_rate("1/min"), timeout_seconds=20.0) as transport:
        await V2Client(transport).get_account()
        began = trio.current_time()
        with pytest.raises(errors.DeadlineExceeded, match="--rate"):
            if is_act:
                await transport.send("POST", Api.V2, ("calls",), content=b"{}")
            else:
                await V2Client(transport).get_account()
        assert trio.current_time() - began == pytest.approx(10 if is_act else 20)
        assert len(sent) == 1
        assert {one.state for one in transport.health().values()} == {"online"}
        assert transport.rate_status().waiting == 0


async def test_a_hold_that_begins_meanwhile_is_kept(mocked, autojump_clock):
    """What waits for the rate when the service asks for a pause does not leave before its end."""
    sent: list[float] = []

    async def handler(request):
        sent.append(trio.current_time())
        if len(sent) == 1:
            await trio.sleep(0.5)
            return answer("{}", 429, **{"retry-after": "5"})
        return answer()

    async with mocked(handler, rate=parse_rate("1/s")) as transport, trio.open_nursery() as nursery:
        began = trio.current_time()
        for _ in range(2):
            nursery.start_soon(V2Client(transport).get_account)
    assert len(sent) == 3
    assert sent[1] - began >= 5.5


async def test_holds_pass_between_machines(mocked, autojump_clock):
    """A pause that was named here is reported once for its length, and one from elsewhere is kept and not reported."""
    named, sent, heard = ["3", "4", "4"], [], []

    def handler(request):
        sent.append(trio.current_time())
        return answer("{}", 429, **{"retry-after": named[len(sent) - 1]}) if len(sent) <= len(named) else answer()

    async with mocked(handler, on_hold=lambda api, seconds: heard.append((api, seconds))) as transport:
        await V2Client(transport).get_account()
        assert heard == [(Api.V2, 3.0), (Api.V2, 4.0), (Api.V2, 4.0)]
        transport.hold(Api.V2, 4.0)
        assert transport.health()[Api.V2].hold_seconds == 4.0
        began = trio.current_time()
        await V2Client(transport).get_account()
        assert trio.current_time() - began == pytest.approx(4.0)
        assert len(heard) == 3
        assert transport.health()[Api.V2].state == "online"


def test_without_the_option_nothing_is_imported():
    """A mount without --rate has neither the queue nor the log."""
    code = "import sys, cffs.daemon.__main__, cffs.daemon.mount_parts; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "cffs.callfire.request_loop" in loaded
    assert {"cffs.callfire.rate", "cffs.callfire.departure_log"}.isdisjoint(loaded)


async def test_without_a_rate_there_is_no_queue(mocked):
    """A counter alone counts nothing: the option is off."""
    async with mocked(lambda request: answer(), counter=SlowCounter()) as transport:
        await V2Client(transport).get_account()
        assert transport.rate_status() is None
