"""A recording costs a handful of requests, however it is read.

That is, one of up to 16 MiB: by the policy alone, and assembled.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cffs.core.byte_range import ByteRange
from cffs.reader.completion import requests_for
from cffs.reader.coverage import Coming
from cffs.reader.cursor import FIRST_NBYTES, TAIL_NBYTES, AccessPattern
from cffs.reader.read_ahead_policy import SMALL_FILE_NBYTES, WHOLE_FILE_NBYTES, PlanLimits, Spent, interrupted, plan
from tests.reader.simulated_link import MIB

KIB = 1024
PAGE = 4 * KIB
TOTALS = st.one_of(
    st.integers(SMALL_FILE_NBYTES + 1, WHOLE_FILE_NBYTES),
    st.integers(3 * MIB, WHOLE_FILE_NBYTES),
    st.integers(SMALL_FILE_NBYTES + 1, 2 * MIB),
    st.integers(1, SMALL_FILE_NBYTES),
)


# ---- the requests that complete a file ----


@given(data=st.data())
def test_what_completes_a_file(data: st.DataObject) -> None:
    """All that is missing is covered, and nothing that is on its way. The requests are as few as promised where what
    lies between is held. The first begins where a byte is needed, unless that would be one request too many."""
    bounds = sorted(data.draw(st.sets(st.integers(0, 4 * MIB), min_size=2, max_size=12)))
    pieces = [ByteRange(start, stop) for start, stop in pairwise(bounds)]
    gaps, between = pieces[::2], pieces[1 : len(pieces) - (len(pieces) + 1) % 2 : 2]
    held = [piece for piece in between if data.draw(st.booleans())]
    first_offset = data.draw(st.integers(gaps[0].start, gaps[0].stop - 1))
    most, depth = data.draw(st.integers(2, 5)), data.draw(st.sampled_from([1, 8]))
    found = requests_for(gaps, first_offset, is_held=lambda piece: piece in held, most=most, depth=depth)
    assert found[0].start <= first_offset < found[0].stop
    assert all(one.stop <= other.start for one, other in pairwise(sorted(found)))
    assert not [piece for gap in gaps for piece in gap.minus(found)]
    assert not [piece for piece in between if piece not in held and any(piece.overlaps(one) for one in found)]
    if held == between:
        assert len(found) <= most
        if sum(piece.nbytes for piece in between) <= 512 * KIB:
            assert len(found) <= 2 or depth > 1
            assert found[0].start == first_offset
        if len(gaps) <= most:
            assert sum(one.nbytes for one in found) <= sum(gap.nbytes for gap in gaps) + 512 * KIB


# ---- the policy alone ----


@dataclass(eq=False)
class Run:
    """A request on its way."""

    position: int
    stop: int
    limit: int
    is_stream: bool
    must_finish: bool


@dataclass
class Played:
    """A file that readers read by the policy's plans, while bytes arrive in any order."""

    total: int
    dice: st.DataObject
    limits: PlanLimits
    first_nbytes: int
    readers: dict[int, AccessPattern] = field(default_factory=dict)
    held: list[ByteRange] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
    requests: int = 0
    nbytes: int = 0

    # what the policy sees

    def first_absent(self, within: ByteRange) -> ByteRange | None:
        return next(iter(within.minus(self.held)), None)

    def first_missing(self, within: ByteRange) -> ByteRange | None:
        coming = [ByteRange(run.position, run.stop) for run in self.runs]
        return next(iter(within.minus([*self.held, *coming])), None)

    def run_at(self, offset: int) -> Run | None:
        return next((run for run in self.runs if run.position <= offset < run.stop), None)

    def coming(self, offset: int) -> Coming | None:
        run = self.run_at(offset)
        return None if run is None else Coming(run.position, run.position, run.stop)

    # what happens

    def read(self, reader: int, offset: int, nbytes: int) -> None:
        """One READ, until its bytes are there."""
        state = self.readers.setdefault(reader, AccessPattern(first_nbytes=self.first_nbytes))
        wanted = ByteRange(offset, offset + nbytes).clamped(self.total)
        planned = plan(state, wanted, self, total_nbytes=self.total, limits=self.limits, spent=self.spent)
        self.readers[reader] = planned.pattern
        if planned.cut_at is not None and (run := self.run_at(planned.cut_at)) is not None:
            run.stop = planned.cut_at
        if planned.spent.is_whole:
            for run in self.runs:
                run.must_finish, run.limit = True, run.stop
        self.spent = planned.spent
        for fetch in planned.fetches:
            limit = planned.receive_stop if fetch.is_stream else fetch.wanted.stop
            self.begin(fetch.wanted, limit=limit, is_stream=fetch.is_stream, must_finish=fetch.must_finish)
        while (absent := self.first_absent(wanted)) is not None:
            found = self.run_at(absent.start)
            assert found is not None, "a READ that nothing is to bring"
            self.arrive(found, min(wanted.stop, found.stop))
        for run in self.runs:
            run.limit = max(run.limit, planned.receive_stop)
        self.some_arrives()

    def begin(self, wanted: ByteRange, *, limit: int, is_stream: bool = False, must_finish: bool = False) -> None:
        self.requests += 1
        self.spent = self.spent._replace(requests=self.spent.requests + 1)
        self.runs.append(Run(wanted.start, wanted.stop, limit, is_stream, must_finish))

    def arrive(self, run: Run, stop: int) -> None:
        if stop > run.position:
            self.nbytes += stop - run.position
            self.held.append(ByteRange(run.position, stop))
            run.position = stop
        if run.position >= run.stop:
            self.runs.remove(run)

    def some_arrives(self) -> None:
        """All of each run that may come, or a part of it, or nothing."""
        for run in list(self.runs):
            most = min(run.stop, run.limit)
            if most > run.position:
                self.arrive(run, run.position + (most - run.position) * self.dice.draw(st.integers(0, 4)) // 4)

    def close(self, reader: int) -> None:
        """What no reader keeps is given up with its reader; at worst, another reader's stream too."""
        self.readers.pop(reader, None)
        self.runs = [run for run in self.runs if run.must_finish]
        self.some_arrives()

    def settle(self) -> None:
        """What must finish comes to its end."""
        for run in [run for run in self.runs if run.must_finish]:
            self.arrive(run, run.stop)

    def pause(self) -> None:
        """No READ for long: streams give their connections up."""
        self.runs = [run for run in self.runs if not run.is_stream]


def reads_of(total: int) -> st.SearchStrategy[tuple[int, int]]:
    """READs anywhere, and more of them at the head, at the tail and on a grid, of the kernel's sizes."""
    last = max(0, total - 1)
    offsets = st.one_of(
        st.integers(0, last),
        st.integers(0, min(last, FIRST_NBYTES)),
        st.integers(max(0, last - TAIL_NBYTES), last),
        st.integers(0, last // (128 * KIB)).map(lambda index: index * 128 * KIB),
    )
    return st.tuples(offsets, st.sampled_from([1, PAGE, 16 * KIB, 128 * KIB, 300 * KIB, MIB]))


@given(total=TOTALS, first_nbytes=st.sampled_from([FIRST_NBYTES, 2 * FIRST_NBYTES]), data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_pattern_is_a_handful_of_requests(total: int, first_nbytes: int, data: st.DataObject) -> None:
    """In whatever order readers read, go on, close, return or pause: at most five requests, and half a MiB more than
    the file."""
    limits = PlanLimits(
        window_cap_nbytes=data.draw(st.sampled_from([PAGE, MIB, 8 * MIB])),
        lead_nbytes=data.draw(st.integers(0, 32 * MIB)),
        depth=data.draw(st.sampled_from([1, 1, 1, 8])),
        reach_nbytes=data.draw(st.sampled_from([0, 3 * MIB, WHOLE_FILE_NBYTES])),
    )
    played = Played(total, data, limits, first_nbytes)
    if data.draw(st.booleans()):  # its size was not known
        question = ByteRange(0, min(SMALL_FILE_NBYTES, total))
        played.begin(question, limit=question.stop, must_finish=True)
    steps = st.one_of(
        st.tuples(st.just("read"), st.integers(0, 2), reads_of(total)),
        st.tuples(
            st.sampled_from(["on", "on with pauses"]),
            st.integers(0, 2),
            st.tuples(st.integers(1, 12), st.sampled_from([128 * KIB, MIB])),
        ),
        st.tuples(st.sampled_from(["close", "pause"]), st.integers(0, 2), st.just((0, 0))),
    )
    for name, reader, (first, second) in data.draw(st.lists(steps, min_size=6, max_size=25)):
        match name:
            case "read":
                played.read(reader, first, second)
            case "on" | "on with pauses":
                for _ in range(first):
                    state = played.readers.get(reader, AccessPattern())
                    if state.next_offset < total:
                        played.read(reader, state.next_offset, second)
                    if name == "on with pauses":
                        played.pause()
            case "close":
                played.close(reader)
            case "pause":
                played.pause()
    played.settle()
    assert played.requests <= 5
    assert played.nbytes <= total + 512 * KIB


@given(total=TOTALS, first_nbytes=st.sampled_from([FIRST_NBYTES, 2 * FIRST_NBYTES]), data=st.data())
def test_heads_and_tails_alone(total: int, first_nbytes: int, data: st.DataObject) -> None:
    """However many readers read the head, or the head and the tail: two requests, and no byte between."""
    played = Played(total, data, PlanLimits(), first_nbytes)
    head = st.integers(0, min(total, first_nbytes) - 1)
    tail = st.integers(max(0, total - TAIL_NBYTES), total - 1)
    reads_tail = data.draw(st.booleans())
    for _ in range(data.draw(st.integers(1, 12))):
        reader = data.draw(st.integers(0, 2))
        if reads_tail and data.draw(st.booleans()):
            played.read(reader, data.draw(tail), 16 * KIB)
        else:
            offset = data.draw(head)
            played.read(reader, offset, data.draw(st.integers(1, min(total, first_nbytes) - offset)))
        if data.draw(st.booleans()):
            played.close(reader)
    played.settle()
    if total > SMALL_FILE_NBYTES:
        assert played.requests <= 2
        assert played.nbytes <= first_nbytes + (TAIL_NBYTES + PAGE if reads_tail else 0)
    else:
        assert (played.requests, played.nbytes <= total) == (1, True)


@given(total=st.integers(SMALL_FILE_NBYTES + 1, WHOLE_FILE_NBYTES), data=st.data())
def test_what_cannot_be_kept_is_not_brought_whole(total: int, data: st.DataObject) -> None:
    """Where there is no room for the file, or it was fetched whole and evicted, each READ costs what it reads."""
    is_gone = data.draw(st.booleans())
    limits = PlanLimits() if is_gone else PlanLimits(whole_nbytes=data.draw(st.integers(0, total - 1)))
    played = Played(total, data, limits, FIRST_NBYTES, spent=Spent(requests=5, has_jumped=True, is_whole=is_gone))
    wanted_nbytes = 0
    for _ in range(data.draw(st.integers(1, 20))):
        offset, nbytes = data.draw(st.integers(FIRST_NBYTES, total - 1)), data.draw(st.sampled_from([PAGE, 16 * KIB]))
        played.readers.clear()
        played.held.clear()
        played.read(0, offset, nbytes)
        wanted_nbytes += max(nbytes + 2 * PAGE, TAIL_NBYTES + PAGE if offset >= total - TAIL_NBYTES else 0)
    assert played.nbytes <= wanted_nbytes


def test_what_was_interrupted_is_tried_again() -> None:
    """A file whose bytes did not come is fetched by the next READ that lacks one."""
    spent = interrupted(Spent(requests=5, has_jumped=True, is_whole=True))
    read = ByteRange(5 * MIB, 5 * MIB + PAGE)
    played = Played(10 * MIB, st.data(), PlanLimits(), FIRST_NBYTES)  # nothing is drawn
    planned = plan(AccessPattern(), read, played, total_nbytes=10 * MIB, limits=PlanLimits(), spent=spent)
    assert [fetch.wanted for fetch in planned.fetches] == [ByteRange(5 * MIB, 10 * MIB), ByteRange(0, 5 * MIB)]
